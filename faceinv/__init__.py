"""faceinv measures what a face descriptor gives away."""

from faceinv.hookspecs import hookimpl

__all__ = ["hookimpl"]
