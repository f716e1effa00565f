"""What an attacker does: pairs, readers and objective beforehand, then a metered search (template inversion)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
