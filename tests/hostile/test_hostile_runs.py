"""A slice of the campaign of ``make hostile``: broken plugins, damaged runs, kills, and processes on one folder."""

from __future__ import annotations

from collections.abc import Callable


def test_runs_survive_plugins_kills_and_each_other(campaign: Callable[..., None]) -> None:
    campaign("plugins:10", "records:12", "kills:3", "together:2")
