"""What the processor of this machine can do."""

from __future__ import annotations

from functools import cache
from pathlib import Path

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
