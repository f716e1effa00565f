"""Peak memory of ``faceinv bench`` by number of targets, each in a fresh process.

    python benchmarks/memory.py --targets 64 512

One step and one cheap score for each target, so that only memory kept per target can grow.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

OPTIONS = ["--losses", "id", "--steps", "1", "--pairs", "500", "--metric", "mse"]


def peak(targets: int, options: list[str]) -> tuple[float, float]:
    """Return the peak MB and the seconds of a run in its own process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "faceinv", "bench", *options, "--limit", str(targets), "--out", folder]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(command)} failed")
        return usage.ru_maxrss / 1024, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, nargs="+", default=[64, 512, 4096])
    given = parser.parse_args()
    print("| targets | peak, MB | seconds |\n| --- | --- | --- |")
    for targets in given.targets:
        most, seconds = peak(targets, OPTIONS)
        print(f"| {targets:,} | {most:,.0f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
