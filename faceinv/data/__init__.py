"""Images, labels, splits and data sets; photographs aligned; targets selected and kept."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
