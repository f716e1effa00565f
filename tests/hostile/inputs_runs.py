"""Damaged and hostile run folders; runs that are killed; several processes on one folder."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from damage import EDGES, TEXTS, damaged
from inputs_files import TOY
from PIL import Image
from watched import Case, Child, command

#: The smallest bench with parts, several losses and pictures.
BENCH = (
    "bench", "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
    "--limit", "6", "--steps", "6", "--batch-size", "2", "--pairs", "200", "--losses", "id,brightness",
    "--metric", "mse", "--metric", "id_sim_attacked", "--metric", "id_sim_critic",
)  # fmt: skip

#: The undisturbed run and its cache, and what it holds; set by :func:`prepare`.
_whole = Path()
_expected: dict[str, str] = {}
_seconds = 10.0


def prepare(folder: Path) -> None:
    """Make the run that the others are compared with, once."""
    global _whole, _expected, _seconds
    if _expected:
        return
    _whole = folder / "whole"
    for _ in range(2):
        # The second is what a killed run is timed by: nothing is imported in it for the first time.
        shutil.rmtree(_whole, ignore_errors=True)
        _whole.mkdir()
        ended = Child(_bench(Path("run")), folder, _whole).wait(300)
        assert ended is not None
        assert ended.code == 0, (folder / "stderr").read_text()
        _seconds = ended.seconds
        _expected = _expected or contents(_whole / "run")
    assert contents(_whole / "run") == _expected, "the same command gives other numbers"


def _bench(out: Path, *more: object, within: float = 0.0) -> Callable[[], int]:
    """Return an action that runs the bench into ``out``, after a while, with the cache beside it."""

    def run() -> int:
        os.environ["FACEINV_CACHE"] = str(out.parent.resolve() / "cache")
        time.sleep(within)
        return command(*TOY, *BENCH, "--out", out, *more)()

    return run


def contents(run: Path) -> dict[str, str]:
    """Return what a run computed, by file: digests, and records without their times and places."""
    found = {}
    for path in sorted(run.rglob("*")):
        if not path.is_file() or path.name.startswith(".") or path.suffix in (".lock", ".html"):
            continue
        content = path.read_bytes()
        if path.suffix == ".json":
            record = json.loads(content)
            for key in ("seconds", "environment", "digests", "files"):
                if isinstance(record, dict):
                    record.pop(key, None)
            content = json.dumps(record, sort_keys=True).encode()
        if path.suffix == ".npz":
            # A zip archive has the time in it.
            content = content[:0] + str(len(content)).encode()
        found[str(path.relative_to(run))] = hashlib.sha256(content).hexdigest()[:16]
    return found


def _compared(run: Path, *, exactly: bool = True) -> Iterable[str]:
    """Say how a run differs from the undisturbed one."""
    try:
        found = contents(run)
    except ValueError as error:
        yield f"a record cannot be read: {error}"[:100]
        return
    for name in sorted(_expected.keys() | found.keys()):
        if name not in found:
            yield f"{Path(name).suffix} missing: {name}"
        elif name not in _expected:
            if exactly:
                yield f"left over: {name}"
        elif found[name] != _expected[name]:
            yield f"other content: {name}"


def _copy(work: Path) -> Path:
    """Copy the undisturbed run and its cache; whole files are shared, for nothing may write into them."""
    shutil.copytree(_whole / "cache", work / "cache", copy_function=os.link)
    shutil.copytree(_whole / "run", work / "run", copy_function=os.link)
    return work / "run"


def _put(path: Path, content: bytes) -> None:
    """Replace a file, rather than write into what other cases share."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def damage_case(rng: random.Random, index: int, work: Path) -> Case:
    """Return a run or a cache with one file damaged, and the command that made it: it must repair it."""
    run = _copy(work)
    places = [run, work / "cache"] if index % 2 else [run]
    files = sorted(path for place in places for path in place.rglob("*") if path.is_file() and path.suffix != ".html")
    suffixes = sorted({path.suffix for path in files if path.stat().st_size})
    suffix = rng.choice(suffixes)
    path = rng.choice([path for path in files if path.suffix == suffix and path.stat().st_size])
    kind = rng.choice(("damaged", "damaged", "gone", "empty", "text", "swapped", "folder"))
    if kind == "damaged":
        kind, content = damaged(rng, path.read_bytes())
        _put(path, content)
    elif kind == "swapped":
        other = rng.choice([other for other in files if other.suffix == suffix and other != path] or [path])
        _put(path, other.read_bytes())
    else:
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind != "gone":
            path.write_bytes(b"" if kind == "empty" else b"this is text\n")
    name = f"{path.relative_to(work).parts[0]}/…{path.suffix if path.suffix != '.json' else path.name[-10:]}: {kind}"

    def repair_and_verify() -> int:
        code = _bench(Path("run"))()
        if code == 0:
            Path("verified").write_text(str(command("verify", "run")()))
        return code

    def check(code: int, out: bytes) -> Iterable[str]:
        # What a finished cell no longer needs is not made anew, but a reader who asks is told.
        if code == 0 and Path("verified").read_text() == "0":
            # The record itself is what all else is compared with; a change of it that is plausible stays.
            hidden = path.suffix == ".json" and path.parent.name == "cells"
            yield from (text for text in _compared(run) if not (hidden and text.startswith("other content")))

    return Case(name, repair_and_verify, frozenset({0, 3, 6}), check=check, makes=True, memory=1 << 30)


def record_case(rng: random.Random, index: int, work: Path) -> Case:
    """Return a run whose record was changed by someone else, and a command that reads it."""
    run = _copy(work)
    (path,) = (run / "cells").glob("*.json")
    record = json.loads(path.read_text())
    kind = rng.choice(("value", "value", "gone", "path", "link", "text", "nested", "damaged"))
    name = kind
    if kind in ("value", "gone", "text"):
        holder, key = _anywhere(rng, record)
        name = f"{kind} of {key}"
        if kind == "gone":
            del holder[key]
        elif kind == "text":
            holder[key] = rng.choice(TEXTS)
        else:
            holder[key] = rng.choice((None, True, -1, 1e308, float("nan"), [], {}, [[]], {"": []}, *EDGES, *TEXTS))
    elif kind == "path":
        key = rng.choice(("id", "files", "target_ids", "dataset"))
        value = rng.choice(("../../outside", "../../outside/parts", "..", "/etc", "a/../../outside", ".", ""))
        if isinstance(record.get("files"), list) and key == "files":
            record["files"] = [str(work.parent / "outside" / "secret.png")] * len(record["files"])
        else:
            record[key] = value
        name = f"path in {key}"
    if kind == "link":
        target = rng.choice(sorted((run / "cells").rglob("*.png")))
        target.unlink()
        target.symlink_to("../../../../outside/secret.png")
    content = json.dumps(record).encode()
    if kind == "nested":
        content = b'{"id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    elif kind == "damaged":
        _, content = damaged(rng, content)
    _put(path, content)
    Image.new("RGB", (8, 8), (1, 2, 3)).save(work.parent / "outside" / "secret.png")
    arguments = rng.choice(
        (
            ("report", "run", "--out", "page.html"),
            ("export", "run", "--format", rng.choice(("csv", "latex", "markdown", "json")), "--out", "table.txt"),
            ("export", "run", "--format", "csv"),
            ("compare", "run"),
            ("compare", "run", "--json"),
            ("merge", "run", "--out", "merged"),
            ("verify", "run"),
        )
    )
    secret = (work.parent / "outside" / "secret.png").read_bytes()

    def check(code: int, out: bytes) -> Iterable[str]:
        made = [path for path in Path().rglob("*") if path.is_file() and path.suffix in (".html", ".txt")]
        for path in made:
            text = path.read_text(errors="replace")
            if path.suffix == ".html" and "<script>alert(1)" in text:
                yield "markup of a record in a page"
            if (
                path.name == "table.txt"
                and "csv" in arguments
                and any(
                    cell.strip('"').startswith(("=", "@")) for line in text.splitlines() for cell in line.split(",")
                )
            ):
                yield "a formula in CSV"
        if any(
            not path.is_symlink() and path.is_file() and path.read_bytes() == secret
            for path in Path("merged").rglob("*")
        ):
            yield "a file from outside was copied"

    return Case(
        f"{arguments[0]}: {name}", command(*TOY, *arguments), frozenset({0, 1, 2, 3, 6}), check=check, makes=True
    )


def records(rng: random.Random, index: int, work: Path) -> Case:
    """Return a damaged run, or one whose record is hostile."""
    return damage_case(rng, index // 2, work) if index % 2 else record_case(rng, index // 2, work)


def _anywhere(rng: random.Random, record: Any) -> tuple[Any, Any]:
    """Return a place in ``record``: what holds it, and its key."""
    holder, key = record, rng.choice(list(record))
    while isinstance(holder[key], dict | list) and holder[key] and rng.random() < 0.7:
        holder = holder[key]
        key = rng.choice(list(holder)) if isinstance(holder, dict) else rng.randrange(len(holder))
    return holder, key


def kills(rng: random.Random, index: int, work: Path) -> Case:
    """Return a run that was killed one to three times at random moments, and is now repeated."""
    if rng.random() < 0.3:
        shutil.copytree(_whole / "cache", work / "cache", copy_function=os.link)
    killed = 0
    for _ in range(rng.randrange(1, 4)):
        child = Child(_bench(Path("run")), work.parent, work)
        if child.wait(rng.uniform(0, _seconds * 1.1)) is None:
            child.kill()
            killed += 1
    # What is left of a write is removed when it is old.
    for path in work.rglob("*"):
        if path.is_file():
            os.utime(path, (1, 1))
    return Case(
        f"{killed} kills", _bench(Path("run")), frozenset({0}), seconds=120, memory=1 << 30, check=_complete, makes=True
    )


def _complete(code: int, out: bytes) -> Iterable[str]:
    yield from _compared(Path("run"))
    for path in sorted(Path().rglob("*")):
        if (
            path.suffix in (".part", ".tmp")
            or (path.name.startswith(".") and path.suffix != ".lock")
            or path.name == "parts"
        ):
            yield f"left behind: {path}"


def together(rng: random.Random, index: int, work: Path) -> Case:
    """Return several benches at once on one folder, whose command is then repeated."""
    number = rng.choice((2, 3, 4))
    kind = ("same", "shards", "killed")[index % 3]

    def all_at_once() -> int:
        children = []
        for each in range(number):
            more = ("--shard", f"{each + 1}/{number}") if kind == "shards" else ()
            folder = Path(f"child{each}").resolve()
            folder.mkdir()
            children.append((folder, Child(_bench(Path("run"), *more, within=delays[each]), folder, Path.cwd())))
        if kind == "killed":
            folder, child = children.pop()
            if child.wait(dies) is None:
                child.kill()
        codes = []
        for folder, child in children:
            ended = child.wait(150)
            if ended is None:
                child.kill()
                print(f"{folder.name} is deadlocked")
            codes.append(ended.code if ended else None)
            if codes[-1]:
                print((folder / "stderr").read_text()[-500:])
            shutil.rmtree(folder)
        if any(codes):
            return 99
        return _bench(Path("run"))()

    delays = [rng.uniform(0, _seconds / 2) * (rng.random() < 0.7) for _ in range(number)]
    dies = rng.uniform(0, _seconds)
    return Case(
        f"{number} {kind}", all_at_once, frozenset({0}), seconds=400, memory=1 << 30, check=_complete, makes=True
    )
