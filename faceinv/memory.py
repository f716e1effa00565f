"""The allocator told to keep its memory."""

from __future__ import annotations

import ctypes
import sys

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
