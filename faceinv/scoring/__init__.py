"""Scores with intervals of reconstructions and descriptors; knows no cell and no file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
