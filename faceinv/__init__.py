"""faceinv measures what a face descriptor gives away.

The functions are imported on first use: ``import faceinv`` imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faceinv.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from faceinv.api import compare, invert, load_encoder, probe, read_runs, run

__all__ = ["compare", "hookimpl", "invert", "load_encoder", "probe", "read_runs", "run"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from faceinv import api

        return getattr(api, name)
    raise AttributeError(f"module 'faceinv' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
