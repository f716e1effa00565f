"""The machine: processors this process may use, bf16 units, and the allocator told to keep its memory."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
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


#: What processors call their bf16 units: x86 with AVX-512 or AMX, and Arm.
_UNITS = {"avx512_bf16", "amx_bf16", "bf16"}


_PROCESSORS = Path("/proc/cpuinfo")


@cache
def has_bf16_units() -> bool:
    """Whether this machine's processor is known to multiply in bf16: Linux says so, other systems do not."""
    try:
        lines = _PROCESSORS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.partition(":")[0].strip() in ("flags", "Features")), "")
    return not _UNITS.isdisjoint(flags.partition(":")[2].split())


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


_GIBIBYTE = 1 << 30


def keep_memory() -> None:
    """Tell glibc to reuse freed blocks of up to 1 GiB instead of handing them back to the system.

    A network's intermediates are freed and wanted again at every step. By default each would be
    mapped anew and faulted in page by page, which costs more than computing on it. Elsewhere than
    on glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _GIBIBYTE)
    mallopt(_M_TRIM_THRESHOLD, _GIBIBYTE)
