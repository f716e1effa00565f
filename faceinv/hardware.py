"""The machine: usable processors and memory, bf16 units, and an allocator that keeps freed memory."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: The container's processor quota: microseconds per period, and the period.
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
#: The container's limit of memory, in bytes.
MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
#: Linux's description of the processor.
CPU_INFO = Path("/proc/cpuinfo")

#: Flags of processors with bf16 units: x86 with AVX-512 or AMX, and Arm.
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_GIBIBYTE = 1 << 30


def processors(quota: Path = CPU_QUOTA) -> int:
    """Return how many processors this process may use.

    It is the least of its CPU affinity, its container's quota and OMP_NUM_THREADS.

    Args:
        quota: File with the container's quota.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS", "")
    limits = [allowed, _whole_processors(quota), int(threads) if threads.isdigit() else 0]
    return min(limit for limit in limits if limit)


def _whole_processors(quota: Path) -> int:
    """Return the quota in whole processors, or 0 if there is none."""
    try:
        share, period = quota.read_text().split()
        return 0 if share == "max" else max(1, int(share) // int(period))
    except (OSError, ValueError):
        return 0


def set_threads(sharers: int = 1) -> None:
    """Set torch's threads to this process' share of the processors.

    Args:
        sharers: Number of processes that share them.
    """
    import torch

    torch.set_num_threads(max(1, processors() // sharers))


def memory(limit: Path = MEMORY_LIMIT) -> int:
    """Return the bytes of memory that this process may use, or 0 if the system does not report them.

    Args:
        limit: File with the container's limit.
    """
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return 0
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(whole, int(limit.read_text()))
    except (OSError, ValueError):
        return whole


@cache
def has_bf16_units(cpu_info: Path = CPU_INFO) -> bool:
    """Return whether the processor is known to multiply in bf16; only Linux tells.

    Args:
        cpu_info: File with the processor's flags.
    """
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.partition(":")[0].strip() in ("flags", "Features")), "")
    return not _BF16_FLAGS.isdisjoint(flags.partition(":")[2].split())


def sent(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return ``tensor`` on ``device``; from the CPU to a GPU through pinned memory, without waiting for the copy.

    Args:
        tensor: The tensor, on any device.
        device: Where it is needed.
        dtype: Its type there.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.to(dtype).pin_memory().to(device, non_blocking=True)
    return tensor.to(device, dtype)


def keep_memory() -> None:
    """Make glibc reuse freed blocks of up to 1 GiB instead of returning them to the system.

    Every step frees a network's intermediates and allocates them again. By default each would be mapped
    anew and faulted in page by page, which costs more than computing on it. Without glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _GIBIBYTE)
    mallopt(_M_TRIM_THRESHOLD, _GIBIBYTE)
