"""What crosses a boundary: the specs that plugins declare and the interfaces that they implement.

Images are ``float32`` RGB ``(B, 3, H, W)`` in ``[0, 1]``, everywhere. Descriptors are ``(B, D)``.
Specs are free of torch: every name is imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
