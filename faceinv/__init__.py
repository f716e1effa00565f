"""faceinv measures what a face descriptor gives away.

``load_encoder``, ``invert`` and ``probe`` are imported on first use: ``import faceinv`` imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faceinv.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from faceinv.api import invert, load_encoder, probe

__all__ = ["hookimpl", "invert", "load_encoder", "probe"]


def __getattr__(name: str) -> Any:
    if name in ("invert", "load_encoder", "probe"):
        from faceinv import api

        return getattr(api, name)
    raise AttributeError(f"module 'faceinv' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
