"""Means with intervals, compared with SciPy's bootstrap."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.stats import bootstrap

from faceinv.scoring import estimate
from faceinv.scoring.statistics import paired_difference


def test_the_interval_is_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=64)
    ours = estimate(values)
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=2).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert ours.n == 64
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)
    assert estimate(values) == ours


def test_missing_values_are_left_out_and_too_few_have_no_interval() -> None:
    assert estimate([1.0, np.nan, 3.0]).n == 2
    one = estimate([2.0])
    assert one.mean == 2
    assert np.isnan(one.low)
    assert estimate([]).n == 0


def test_pairing_removes_what_the_items_have_in_common() -> None:
    rng = np.random.default_rng(0)
    common = 100 * rng.normal(size=50)
    difference = paired_difference(common + 1 + 0.1 * rng.normal(size=50), common)
    assert difference.low < 1 < difference.high
    assert difference.high - difference.low < 0.1
    with pytest.raises(ValueError, match="same items"):
        paired_difference([1.0, 2.0], [1.0])


def test_intervals_do_not_depend_on_how_many_resamples_are_held_at_a_time() -> None:
    values = np.random.default_rng(1).normal(size=333)
    whole = np.random.default_rng(0).integers(0, 333, size=(4000, 333))
    low, high = np.percentile(values[whole].mean(1), [2.5, 97.5])
    for drawn in (1, 1000, 1 << 22):
        found = estimate(values, drawn=drawn)
        assert (found.low, found.high) == (low, high)


def test_an_interval_of_many_items_takes_little_memory() -> None:
    values = np.random.default_rng(1).normal(size=20_000)
    tracemalloc.start()
    estimate(values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # All resamples at once: 4,000 * 20,000 * 16 bytes.
    assert peak < 20e6


def test_items_of_one_person_are_not_independent() -> None:
    rng = np.random.default_rng(0)
    people = np.repeat([f"p{index}" for index in range(20)], 4)
    values = np.repeat(rng.standard_normal(20), 4)
    found, alone = estimate(values, people=people), estimate(values[::4])
    assert (found.n, found.people, found.independent) == (80, 20, 20)
    assert found.mean == pytest.approx(alone.mean)
    # Four copies of a photograph say no more than one.
    assert found.high - found.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert estimate(values).high - estimate(values).low < 0.6 * (found.high - found.low)
    # With one item of each person nothing changes.
    assert estimate(values[::4], people=people[::4]) == alone
    assert np.isnan(estimate(values[:4], people=people[:4]).low)
    values[:4] = np.nan
    assert estimate(values, people=people).people == 19
    assert paired_difference(values, np.zeros(80), people=people).independent == 19
