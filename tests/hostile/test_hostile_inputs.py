"""A slice of the campaign of ``make hostile``: hostile files, configs, options and images, with a fixed seed."""

from __future__ import annotations

from collections.abc import Callable


def test_no_input_does_harm(campaign: Callable[..., None]) -> None:
    campaign("weights:55", "arrays:20", "configs:30", "archives:15", "images:10")
