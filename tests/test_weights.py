"""The store of weights files: verified, fetched once, set aside if wrong."""

from __future__ import annotations

import copy
import dataclasses
import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from faceinv.contracts import EncoderSpec, Framing, WeightSourceSpec, WeightSpec
from faceinv.errors import (
    HashMismatchError,
    StorageError,
    UnknownNameError,
    UntrustedError,
    UsageError,
    WeightsError,
)
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.plugins.hookspecs import hookimpl
from faceinv.storage import cache_folder, file_sha256
from faceinv.weights import WeightStore
from faceinv.weights.sources.base import Progress
from faceinv.weights.store import human_size

CONTENT = b"the right weights"
RIGHT = hashlib.sha256(CONTENT).hexdigest()


class Declares:
    """A plugin that declares these files, and sources that fail."""

    def __init__(self, *specs: WeightSpec) -> None:
        self._specs = list(specs)

    @hookimpl
    def faceinv_weights(self) -> list[WeightSpec]:
        return self._specs

    @hookimpl
    def faceinv_weight_sources(self) -> list[WeightSourceSpec]:
        return [
            WeightSourceSpec(name=name, summary=name, target=f"{__name__}:{name}", licence="MIT")
            for name in ("broken", "curious", "full", "refuses")
        ]


def broken(location: str, destination: Path, progress: Progress) -> None:
    raise KeyError(location)


def curious(location: str, destination: Path, progress: Progress, size: int, notify: Callable[[str], None]) -> None:
    notify(f"{size} bytes, please")
    destination.write_text(str(size))


def full(location: str, destination: Path, progress: Progress) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(destination))


def refuses(location: str, destination: Path, progress: Progress) -> None:
    raise WeightsError(f"{location} is not for you.")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    path = tmp_path / "origin.bin"
    path.write_bytes(CONTENT)
    return path


def declared(*sources: object, name: str = "net/w", sha256: str = RIGHT, **more: Any) -> WeightSpec:
    texts = tuple(f"file:{source}" if isinstance(source, Path) else str(source) for source in sources)
    return WeightSpec(name=name, filename="w.bin", sha256=sha256, sources=texts, licence="CC BY-NC 4.0", **more)


def store(cache: Path, *specs: WeightSpec, **options: Any) -> WeightStore:
    host = Host(entry_points=False)
    host.register(Declares(*specs), "test", "test 1")
    assert not host.problems
    return WeightStore(host, cache=cache / "cache", **options)


def test_file_is_fetched_once_verified_and_kept(tmp_path: Path, origin: Path) -> None:
    said: list[str] = []
    first = store(tmp_path, declared(origin, size=13_306_246), notify=said.append)
    assert not first.is_here("net/w")
    assert first.location("net/w") is None
    path = first.path("net/w")
    assert path.read_bytes() == CONTENT
    assert path.suffix == ".bin"
    assert path.is_relative_to(tmp_path / "cache/weights")
    assert first.sha256("net/w") == RIGHT
    assert len(said) == 2
    assert all(part in said[0] for part in ("net/w", "13.3 MB", "CC BY-NC 4.0", str(origin)))
    assert str(path) in said[1]
    origin.unlink()
    again = store(tmp_path, declared(origin), notify=said.append, offline=True)
    assert again.is_here("net/w")
    assert again.location("net/w") == again.path("net/w") == path
    assert len(said) == 2


def test_licence_is_printed_before_the_download(tmp_path: Path) -> None:
    said: list[str] = []

    @contextmanager
    def progress(label: str) -> Iterator[Progress]:
        said.append(f"progress of {label}")
        yield lambda done, total: None

    with pytest.raises(WeightsError):
        store(tmp_path, declared("refuses:x"), notify=said.append, progress=progress).path("net/w")
    assert "CC BY-NC 4.0" in said[0]
    assert said[1] == "progress of net/w"


def test_verified_file_is_not_hashed_at_each_use(tmp_path: Path, origin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store(tmp_path, declared(origin)).path("net/w")
    hashed: list[object] = []
    monkeypatch.setattr("faceinv.weights.store.file_sha256", lambda path: hashed.append(path) or file_sha256(path))
    assert store(tmp_path, declared(origin)).path("net/w") == path
    assert hashed == []
    os.utime(path, (1, 1))
    assert store(tmp_path, declared(origin)).path("net/w") == path
    assert hashed == [path]


def test_wrong_hash_shows_both_and_keeps_the_file_aside(tmp_path: Path, origin: Path) -> None:
    origin.write_bytes(b"other")
    wrong = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(HashMismatchError) as caught:
        store(tmp_path, declared(origin)).path("net/w")
    text = str(caught.value)
    assert RIGHT in text
    assert wrong in text
    assert "faceinv weights pull net/w" in text
    [aside] = (tmp_path / "cache").rglob("*.rejected")
    assert str(aside) in text
    assert aside.read_bytes() == b"other"
    assert not store(tmp_path, declared(origin)).is_here("net/w")


def test_file_that_changed_in_the_cache_is_detected_and_fetched_again(tmp_path: Path, origin: Path) -> None:
    path = store(tmp_path, declared(origin)).path("net/w")
    path.write_bytes(b"corrupted")
    with pytest.raises(HashMismatchError, match="pinned"):
        store(tmp_path, declared(origin)).path("net/w")
    assert store(tmp_path, declared(origin)).path("net/w").read_bytes() == CONTENT


def test_verify_detects_changes_that_size_and_time_do_not_show(tmp_path: Path, origin: Path) -> None:
    once = store(tmp_path, declared(origin))
    assert once.verify("net/w") is None
    path = once.path("net/w")
    assert once.verify("net/w") == RIGHT
    time_of_change = path.stat().st_mtime_ns
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(time_of_change, time_of_change))
    assert store(tmp_path, declared(origin)).path("net/w") == path
    with pytest.raises(HashMismatchError):
        once.verify("net/w")
    assert not once.is_here("net/w")
    assert once.path("net/w").read_bytes() == CONTENT


def test_sources_are_tried_in_order(tmp_path: Path, origin: Path) -> None:
    wrong = tmp_path / "wrong.bin"
    wrong.write_bytes(b"wrong")
    missing = tmp_path / "missing.bin"
    said: list[str] = []
    sources = ("broken:x", "refuses:y", "nonsense:z", missing, wrong, origin, "full:never asked")
    path = store(tmp_path, declared(*sources), notify=said.append).path("net/w")
    assert path.read_bytes() == CONTENT
    assert [text.split("from ")[1].split(":")[0] for text in said[:-1]] == [
        *["broken", "refuses", "nonsense"],
        *["file"] * 3,
    ]


def test_all_causes_are_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        store(tmp_path, declared("broken:x", "refuses:y", "fil:z")).path("net/w")
    text = str(caught.value)
    assert "\n" not in text
    for part in (
        "broken:x: KeyError: 'x'",
        "refuses:y: y is not for you",
        "fil:z: Unknown weight source",
        "Did you mean 'file'?",
    ):
        assert part in text
    assert "put w.bin in" in text


def test_offline_names_the_file_the_folder_and_the_command(tmp_path: Path, origin: Path) -> None:
    offline = store(tmp_path, declared("https://127.0.0.1:9/w"), offline=True)
    with pytest.raises(WeightsError) as caught:
        offline.path("net/w")
    for part in ("net/w", "w.bin", str(offline.folder("net/w")), "faceinv weights pull net/w", "--offline"):
        assert part in str(caught.value)
    assert store(tmp_path, declared("https://127.0.0.1:9/w", origin), offline=True).path("net/w").is_file()


def test_file_put_there_by_hand_is_verified_and_used(tmp_path: Path) -> None:
    one = store(tmp_path, declared("refuses:x"), offline=True)
    one.folder("net/w").mkdir(parents=True)
    (one.folder("net/w") / "w.bin").write_bytes(b"wrong")
    with pytest.raises(HashMismatchError):
        one.path("net/w")
    (one.folder("net/w") / "w.bin").write_bytes(CONTENT)
    assert one.is_here("net/w")
    assert one.path("net/w").read_bytes() == CONTENT
    assert one.sha256("net/w") == RIGHT


def test_two_releases_under_one_name_stay_apart(tmp_path: Path, origin: Path) -> None:
    old = store(tmp_path, declared(origin)).path("net/w")
    origin.write_bytes(b"release 2")
    new = store(tmp_path, declared(origin, sha256=hashlib.sha256(b"release 2").hexdigest())).path("net/w")
    assert (old.read_bytes(), new.read_bytes()) == (CONTENT, b"release 2")


@pytest.mark.parametrize("name", ["..", "../../out", "a/b", "a b", "a:b", ".hidden"])
def test_every_name_stays_in_the_cache(tmp_path: Path, name: str) -> None:
    root = tmp_path / "cache/weights"
    folder = Path(os.path.normpath(store(tmp_path).folder(name)))
    assert folder.is_relative_to(root)


@pytest.mark.parametrize("filename", ["", ".", "..", "../w", "a/b", "a\\b", "/etc/w", "a\0", "w" * 151])
def test_filename_is_a_plain_name(filename: str) -> None:
    with pytest.raises(ValueError, match=r"filename of weights 'net/w' must be a plain name"):
        dataclasses.replace(declared(), filename=filename)


def test_source_gets_what_it_has_parameters_for(tmp_path: Path) -> None:
    said: list[str] = []
    spec = declared("curious:x", size=17, sha256="")
    store(tmp_path, spec, notify=said.append, trusted=[hashlib.sha256(b"17").hexdigest()]).path("net/w")
    assert "17 bytes, please" in said


def test_pipe_in_place_of_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="it is a pipe, socket or device"):
        store(tmp_path, declared()).adopt(["net/w"], tmp_path / "pipe")
    with pytest.raises(WeightsError, match="it is a pipe, socket or device"):
        store(tmp_path, declared(tmp_path / "pipe")).path("net/w")


def test_unknown_name_suggests(tmp_path: Path, origin: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'net/w'"):
        store(tmp_path, declared(origin)).path("net/v")


# storage


def test_full_disk_is_a_storage_error_and_no_other_source_is_asked(tmp_path: Path, origin: Path) -> None:
    with pytest.raises(StorageError, match=r"No space left on device.*FACEINV_CACHE"):
        store(tmp_path, declared("full:x", origin)).path("net/w")


def test_cache_that_cannot_be_written(tmp_path: Path, origin: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="FACEINV_CACHE"):
        store(tmp_path, declared(origin)).path("net/w")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_cache_that_others_fill_may_be_read_only(
    tmp_path: Path, origin: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = store(tmp_path, declared(origin)).path("net/w")
    for file in path.parent.iterdir():
        if file != path:
            file.unlink()

    def forbidden(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    for name in ("touch", "write_text", "mkdir"):
        monkeypatch.setattr(Path, name, forbidden)
    assert store(tmp_path, declared(origin)).path("net/w") == path


def test_cache_folder_is_the_users_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEINV_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == WeightStore(Host(entry_points=False)).cache == tmp_path / "mine"
    monkeypatch.delenv("FACEINV_CACHE")
    assert cache_folder().name == "faceinv"


# trust


def test_file_without_a_published_hash_must_be_trusted_once(tmp_path: Path, origin: Path) -> None:
    spec = declared(origin, sha256="")
    with pytest.raises(WeightsError, match=f"--trust-sha256 {RIGHT}"):
        store(tmp_path, spec).path("net/w")
    with pytest.raises(WeightsError, match="No hash is published"):
        store(tmp_path, spec, trusted=["0" * 64]).path("net/w")
    assert store(tmp_path, spec, trusted=[RIGHT.upper()]).path("net/w").read_bytes() == CONTENT
    later = store(tmp_path, spec, offline=True)
    assert later.path("net/w").read_bytes() == CONTENT
    assert later.sha256("net/w") == RIGHT


def test_trust_is_in_the_bytes_not_in_the_name(tmp_path: Path, origin: Path) -> None:
    spec = declared(origin, sha256="")
    path = store(tmp_path, spec, trusted=[RIGHT]).path("net/w")
    path.write_bytes(b"something else")
    with pytest.raises(WeightsError, match=hashlib.sha256(b"something else").hexdigest()):
        store(tmp_path, spec).path("net/w")


def test_trust_does_not_override_a_pin(tmp_path: Path, origin: Path) -> None:
    origin.write_bytes(b"other")
    with pytest.raises(HashMismatchError):
        store(tmp_path, declared(origin), trusted=[hashlib.sha256(b"other").hexdigest()]).path("net/w")


@pytest.mark.parametrize("answer", [True, False])
def test_user_is_asked_if_possible(tmp_path: Path, origin: Path, answer: bool) -> None:
    asked: list[str] = []
    one = store(tmp_path, declared(origin, sha256=""), confirm=lambda text: asked.append(text) or answer)
    if answer:
        assert one.path("net/w").read_bytes() == CONTENT
    else:
        with pytest.raises(WeightsError):
            one.path("net/w")
    assert RIGHT in asked[0]


@pytest.mark.parametrize("given", ["", "12ab", "g" * 64, "0" * 63])
def test_trusted_hash_must_be_a_sha256(tmp_path: Path, given: str) -> None:
    with pytest.raises(UsageError, match="64 hex digits"):
        store(tmp_path, trusted=[given])


def test_file_that_ships_with_its_plugin_is_used_in_place(tmp_path: Path) -> None:
    one = store(tmp_path, declared("package:faceinv/errors.py", sha256=""), offline=True)
    path = one.path("net/w")
    assert path.name == "errors.py"
    assert one.location("net/w") == path
    assert one.sha256("net/w") == one.verify("net/w") == file_sha256(path)
    assert not (tmp_path / "cache").exists()
    with pytest.raises(WeightsError, match="package 'gone' is not installed"):
        store(tmp_path, declared("package:gone/w", sha256="")).path("net/w")


# a user's own file


def test_own_file_stands_in_for_the_declared_ones(tmp_path: Path, origin: Path) -> None:
    said: list[str] = []
    specs = [declared("refuses:x", name=name) for name in ("net/a", "net/b")]
    one = store(tmp_path, *specs, notify=said.append)
    assert one.adopt(["net/a", "net/b"], origin) == origin
    assert one.path("net/b") == origin
    assert one.sha256("net/a") == RIGHT
    assert said == []


def test_own_file_that_is_not_the_published_one_must_be_trusted(tmp_path: Path, origin: Path) -> None:
    spec = declared("refuses:x", sha256="0" * 64)
    with pytest.raises(UntrustedError, match=f"is NOT the published file of net/w: its SHA-256 is {RIGHT}, not 0000"):
        store(tmp_path, spec).adopt(["net/w"], origin)
    one = store(tmp_path, spec, trusted=[RIGHT])
    one.adopt(["net/w"], origin)
    assert one.sha256("net/w") == RIGHT
    assert one.verify("net/w") is None, "a user's own file is not the cache's to move aside"


def test_own_file_where_no_hash_is_published_must_be_trusted(tmp_path: Path, origin: Path) -> None:
    spec = declared(sha256="")
    with pytest.raises(WeightsError, match=f"--trust-sha256 {RIGHT}"):
        store(tmp_path, spec).adopt(["net/w"], origin)
    assert store(tmp_path, spec, trusted=[RIGHT]).adopt(["net/w"], origin) == origin
    assert store(tmp_path, spec).adopt(["net/w"], origin) == origin


def test_all_own_files_that_are_not_trusted_are_named_at_once(tmp_path: Path, origin: Path) -> None:
    class Networks:
        @hookimpl
        def faceinv_encoders(self) -> list[EncoderSpec]:
            framing = Framing("f", (8, 8), ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.4, 0.8), (0.6, 0.8)))
            shared = {"summary": "s", "target": "m:f", "licence": "MIT", "dim": 2, "framing": framing}
            return [EncoderSpec(name=f"net-{name}", weights=(f"net/{name}",), **shared) for name in "abcd"]

    pins = {"a": "", "b": "0" * 64, "c": RIGHT, "d": ""}
    specs = [declared("refuses:x", name=f"net/{name}", sha256=sha256) for name, sha256 in pins.items()]
    files = {f"net-{name}": tmp_path / name for name in "abc"} | {"net-d": tmp_path / "missing"}
    for name, content in (("a", b"a"), ("b", b"b"), ("c", CONTENT)):
        (tmp_path / name).write_bytes(content)
    hashes = [file_sha256(tmp_path / name) for name in "ab"]

    def paths(**options: Any) -> list[Path]:
        one = store(tmp_path, *specs, **options)
        one.host.register(Networks(), "networks", "networks 1")
        loader = Loader(one.host, one, files=files)
        return [path for name in "ab" for path in loader.paths(one.host.spec("encoder", f"net-{name}"))]

    with pytest.raises(UntrustedError) as refused:
        paths()
    assert f"--trust-sha256 {hashes[0]} --trust-sha256 {hashes[1]} COMMAND" in str(refused.value)
    assert RIGHT not in str(refused.value)
    assert str(copy.copy(refused.value)) == str(refused.value)
    assert paths(trusted=hashes) == [tmp_path / "a", tmp_path / "b"]
    # At a terminal, a refusal ends it.
    (tmp_path / "a").write_bytes(b"another")
    asked: list[str] = []
    with pytest.raises(UntrustedError):
        paths(confirm=lambda text: bool(asked.append(text)))
    assert len(asked) == 1


def test_own_file_that_cannot_be_used(tmp_path: Path) -> None:
    one = store(tmp_path, declared())
    (tmp_path / "empty").touch()
    for path, cause in [(tmp_path / "none", "No such file"), (tmp_path, "is a folder"), (tmp_path / "empty", "empty")]:
        with pytest.raises(WeightsError, match=cause):
            one.adopt(["net/w"], path)


def test_human_size() -> None:
    sizes = {0: "0 B", 999: "999 B", 1000: "1.0 kB", 403_147: "403 kB", 999_999: "1.0 MB", 13_306_246: "13.3 MB"}
    assert {size: human_size(size) for size in sizes} == sizes
