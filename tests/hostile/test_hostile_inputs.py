"""A slice of the campaign of ``make hostile``: hostile files, configs, options and plugins, with fixed seeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize(("area", "size"), [("weights", 60), ("arrays", 20), ("images", 12)])
def test_nothing_gives_way(campaign: Callable[[str, int], None], area: str, size: int) -> None:
    campaign(area, size)
