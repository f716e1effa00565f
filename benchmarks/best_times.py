"""The best times of jobs that take turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence


def best_times(jobs: Sequence[Callable[[], object]], seconds: float) -> list[float]:
    """Return the best time of each job in seconds, after one untimed turn; all get the same noise of the machine."""
    best = [float("inf")] * len(jobs)
    for job in jobs:
        job()
    end = time.perf_counter() + seconds * len(jobs)
    while time.perf_counter() < end:
        for place, job in enumerate(jobs):
            start = time.perf_counter()
            job()
            best[place] = min(best[place], time.perf_counter() - start)
    return best
