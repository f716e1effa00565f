"""Try hostile inputs, kills and processes that get in each other's way, and print what held.

Each case is made from the area, the seed and its number alone, so it can be made again: with the same seed and
``--only NUMBER``. The folder of each case that failed is kept.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import inputs_configs
import inputs_files
import inputs_plugins
import inputs_runs
import inputs_weights
from watched import Case, attempt


@dataclass(frozen=True)
class Area:
    """A part of the campaign.

    Args:
        case: Makes a case from a source of random numbers and the case's number, in a folder.
        share: Share of the time of a campaign that has no size.
        prepare: Called once with a folder, before the first case.
    """

    case: Callable[[random.Random, int, Path], Case]
    share: float
    prepare: Callable[[Path], None] = lambda folder: None


AREAS = {
    "weights": Area(inputs_weights.case, 0.25, inputs_weights.prepare),
    "arrays": Area(inputs_files.array, 0.05),
    "configs": Area(inputs_configs.case, 0.12),
    "archives": Area(inputs_files.archive, 0.05),
    "images": Area(inputs_files.image, 0.08),
    "records": Area(inputs_runs.records, 0.15, inputs_runs.prepare),
    "plugins": Area(inputs_plugins.case, 0.1),
    "kills": Area(inputs_runs.kills, 0.1, inputs_runs.prepare),
    "together": Area(inputs_runs.together, 0.1, inputs_runs.prepare),
}


@dataclass
class Tally:
    """What happened in an area."""

    tried: int = 0
    failed: int = 0
    slowest: float = 0.0
    largest: int = 0
    wrong: Counter[str] = field(default_factory=Counter)


def main() -> int:
    """Run the campaign; return 1 if anything failed."""
    given = _arguments()
    keep = given.keep or Path(tempfile.mkdtemp(prefix="faceinv-hostile-"))
    print(f"seed {given.seed}; cases that fail are kept in {keep}", flush=True)
    os.environ.update(COLUMNS="200", FACEINV_OFFLINE="1", OMP_NUM_THREADS="1")
    _import()
    whole = sum(AREAS[name].share for name, _ in given.areas)
    tallies = {}
    with tempfile.TemporaryDirectory(prefix="faceinv-hostile-") as scratch:
        for name, size in given.areas:
            end = None
            if given.only is not None:
                numbers = range(given.only, given.only + 1)
            elif size is not None:
                numbers = range(size)
            else:
                numbers = range(sys.maxsize)
                end = time.monotonic() + given.minutes * 60 * AREAS[name].share / whole
            tallies[name] = _run(name, given.seed, numbers, end, Path(scratch).resolve(), keep)
    _print(tallies)
    return int(any(tally.failed for tally in tallies.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "areas", nargs="*", metavar="AREA[:SIZE]", help=f"with its own number of cases; of {', '.join(AREAS)}"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()), help="seed; by default the time")
    parser.add_argument("--size", type=int, help="number of cases of each area; by default as many as the time allows")
    parser.add_argument("--minutes", type=float, default=10.0, help="time for all areas, if there is no size")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="only this case of the area")
    parser.add_argument("--keep", type=Path, help="folder for the cases that failed")
    given = parser.parse_args()
    areas = []
    for text in given.areas or AREAS:
        name, _, size = text.partition(":")
        if name not in AREAS or (size and not size.isdecimal()):
            parser.error(f"{text}: the areas are {', '.join(AREAS)}")
        areas.append((name, int(size) if size else given.size))
    given.areas = areas
    return given


def _print(tallies: dict[str, Tally]) -> None:
    print(f"\n{'area':10} {'tried':>6} {'held':>6} {'failed':>6} {'slowest':>9} {'memory':>9}")
    for name, tally in tallies.items():
        print(
            f"{name:10} {tally.tried:6} {tally.tried - tally.failed:6} {tally.failed:6} {tally.slowest:7.1f} s "
            f"{tally.largest >> 20:5} MiB"
        )
        for text, count in tally.wrong.most_common(20):
            print(f"{'':10} {count:6} × {text}")


def _run(area: str, seed: int, numbers: range, deadline: float | None, root: Path, keep: Path) -> Tally:
    tally = Tally()
    os.environ["FACEINV_CACHE"] = str(root / "cache")
    (root / "prepared").mkdir(exist_ok=True)
    AREAS[area].prepare(root / "prepared")
    folder = root / "case"
    for number in numbers:
        if deadline is not None and time.monotonic() > deadline:
            break
        rng = random.Random(f"{area} {seed} {number}")
        name, wrong, ended = attempt(lambda work, rng=rng, n=number: AREAS[area].case(rng, n, work), folder)  # type: ignore[misc]
        tally.tried += 1
        tally.slowest = max(tally.slowest, ended.seconds)
        tally.largest = max(tally.largest, ended.memory)
        if wrong:
            tally.failed += 1
            tally.wrong.update(text.split(":")[0] for text in wrong)
            print(f"{area} {number} ({name!r}): {'; '.join(wrong)}", flush=True)
            kept = keep / f"{area}-{seed}-{number}"
            shutil.copytree(folder, kept, symlinks=True, ignore=_special, dirs_exist_ok=True)
        shutil.rmtree(folder)
    return tally


def _special(folder: str, names: list[str]) -> set[str]:
    """Return the names that cannot be copied."""
    paths = {name: Path(folder, name) for name in names}
    return {name for name, path in paths.items() if not (path.is_symlink() or path.is_file() or path.is_dir())}


def _import() -> None:
    """Import what every case needs, so that a forked process does not."""
    import importlib

    import faceinv.cli
    from faceinv.plugins import Host

    for target, _ in faceinv.cli.COMMANDS.values():
        importlib.import_module(target.partition(":")[0])
    for name in ("faceinv.bench.runner", "faceinv.execution", "faceinv.report.page", "faceinv.api", "pyarrow.parquet"):
        importlib.import_module(name)
    Host().specs("encoder")


if __name__ == "__main__":
    sys.exit(main())
