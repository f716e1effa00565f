"""Small networks that read an attribute from a descriptor (attribute inference)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
