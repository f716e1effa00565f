"""A slice of the campaign of ``make hostile``: damaged runs, broken plugins, kills and processes on one folder."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize(("area", "size"), [("kills", 3)])
def test_nothing_gives_way(campaign: Callable[[str, int], None], area: str, size: int) -> None:
    campaign(area, size)
