"""What is known of the images of a data set, computed once: descriptors, measured attributes, crops."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
