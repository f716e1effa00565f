"""The types that cross a boundary: specs that plugins declare, and interfaces that they implement.

Images are ``float32`` RGB ``(B, 3, H, W)`` in ``[0, 1]`` everywhere. Descriptors are ``(B, D)``.
Every name is imported on first use, so that specs can be used without importing torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
