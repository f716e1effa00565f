"""Published weights files: fetched, pinned by hash, and read without running anything in them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
