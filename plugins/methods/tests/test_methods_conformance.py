"""Every method keeps the contract: access, budget, seeds, independence of the batch."""

from __future__ import annotations

from faceinv_methods import plugin

from faceinv.testing import parametrize_with_checks


@parametrize_with_checks(plugin)
def test_conformance(check) -> None:
    check()
