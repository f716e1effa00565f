"""For plugin authors: conformance checks, a toy chain, and pytest fixtures.

A plugin's conformance test is three lines::

    from faceinv.testing import parametrize_with_checks
    from my_encoder import plugin

    @parametrize_with_checks(plugin)
    def test_conformance(check):
        check()

Every name is imported on first use: ``import faceinv.testing`` imports no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
