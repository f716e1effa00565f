"""Networks built from names and frozen, with the helpers that make them fast."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
