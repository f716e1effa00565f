"""Where the time of a command goes: the time of every part of the program, including everything it calls.

    python benchmarks/stages.py bench --encoder arcface --losses id,lm,hist --limit 32 --out /tmp/run
    python benchmarks/stages.py probe --encoder arcface --dataset lfw:PATH

Prints the functions of faceinv and its plugins that took more than a share of the total (``--least``, in per cent,
given before the command), longest first, followed by PyTorch's own operations. Only the main thread is timed; work in
other threads, such as decoding, shows up as waiting for it.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
from pathlib import Path

from faceinv.cli import main as command


def name_of(file: str, line: int, function: str) -> str:
    """Return the qualified name of a function of faceinv or a plugin, and an empty string for any other."""
    parts = Path(file).with_suffix("").parts
    package = max((place for place, part in enumerate(parts) if part.startswith("faceinv")), default=None)
    if package is None or not line:
        return ""
    return f"{'.'.join(parts[package:])}.{function}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--least", type=float, default=2.0, metavar="PERCENT")
    given, arguments = parser.parse_known_args()
    profile, began = cProfile.Profile(), time.perf_counter()
    try:
        profile.runcall(command, arguments)
    except SystemExit as end:
        if end.code:
            raise
    whole = time.perf_counter() - began
    own: list[tuple[float, int, str]] = []
    operations: list[tuple[float, int, str]] = []
    for (file, line, function), (_, calls, alone, within, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if name := name_of(file, line, function):
            own.append((within, calls, name))
        elif "torch" in function or "mkldnn" in function:
            operations.append((alone, calls, function.strip("<>")))
    print(f"\n{whole:.1f} s, {' '.join(arguments)}\n", file=sys.stderr)
    for title, rows in (("part of the program", own), ("operation", operations)):
        print(f"| {title} | share | seconds | calls |\n| --- | --- | --- | --- |")
        for seconds, calls, name in sorted(rows, reverse=True):
            if 100 * seconds / whole >= given.least:
                print(f"| `{name}` | {100 * seconds / whole:.0f} % | {seconds:.1f} | {calls:,} |")
        print()


if __name__ == "__main__":
    main()
