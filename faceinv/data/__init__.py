"""Images, labels, splits and data sets; targets chosen and brought into a framing."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
