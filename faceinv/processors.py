"""How many processors a process may use, and its threads: set once, by whatever process does the work."""

from __future__ import annotations

import os
from pathlib import Path

#: What a container may use of its processors: microseconds of a period's, and the period.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def processors() -> int:
    """Return how many processors this process may use: those it is bound to, its container's quota, OMP_NUM_THREADS."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [allowed, _quota(), int(given) if (given := os.environ.get("OMP_NUM_THREADS", "")).isdigit() else 0]
    return min(limit for limit in limits if limit)


def _quota() -> int:
    """Return the whole processors of the container's quota, or 0 where there is none."""
    try:
        quota, period = _QUOTA.read_text().split()
        return 0 if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return 0


def set_threads(sharers: int = 1) -> None:
    """Let torch compute with this process' share of the processors.

    Args:
        sharers: How many processes share them.
    """
    import torch

    torch.set_num_threads(max(1, processors() // sharers))
