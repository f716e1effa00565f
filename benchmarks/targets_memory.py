"""Peak memory of ``faceinv bench`` by number of targets, each in a fresh process, and the scaling of local workers.

    python benchmarks/targets_memory.py memory --targets 64,1024,4096
    python benchmarks/targets_memory.py workers --workers 1,2,4 --targets 128 --steps 50

``--chain toy`` (the default) uses the chain of faceinv.testing, ``--chain default`` the default networks.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

from faceinv.testing import toy

TOY = ["--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets"]
METRICS = ["--metric", "mse", "--metric", "id_sim_attacked", "--metric", "id_sim_critic", "--metric", "success"]


def run(chain: str, targets: int, steps: int, workers: int) -> tuple[float, float]:
    """Return the peak memory of the started process, in MB, and its seconds."""
    names = [*TOY, "--losses", "id", "--pairs", "500"] if chain == "toy" else ["--losses", "id,lm,hist"]
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "faceinv", "--plugin", toy.__file__, "bench", *names, *METRICS]
        command += ["--limit", str(targets), "--steps", str(steps), "--workers", str(workers), "--out", out]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"{' '.join(command)} ended with {process.returncode}"
        return usage.ru_maxrss / 1024, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["memory", "workers"])
    parser.add_argument("--chain", choices=["toy", "default"], default="toy")
    parser.add_argument("--targets", default="64,4096")
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--steps", type=int, default=2)
    given = parser.parse_args()
    targets = [int(text) for text in given.targets.split(",")]
    if given.what == "memory":
        print("| targets | peak, MB | s |\n| --- | --- | --- |")
        for n in targets:
            peak, seconds = run(given.chain, n, given.steps, 1)
            print(f"| {n} | {peak:.0f} | {seconds:.0f} |", flush=True)
        return
    run(given.chain, 32, 1, 1)  # fills the cache with what has to be trained
    print("| workers | s | ratio |\n| --- | --- | --- |")
    first = 0.0
    for workers in map(int, given.workers.split(",")):
        _, seconds = run(given.chain, targets[0], given.steps, workers)
        first = first or seconds
        print(f"| {workers} | {seconds:.0f} | {first / seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
