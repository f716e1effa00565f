"""Scores against scikit-learn's, weights and ties included; intervals over people and not over photographs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn import metrics as sklearn

from faceinv.scoring.bootstrap import People, accuracy, auc, balanced_accuracy, interval, leakage, mean_error, r2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 60), st.integers(2, 12))
def test_weighted_scores_are_scikit_learns(seed: int, n: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n).astype(float)
    truth[:2] = 0, 1
    predicted = rng.integers(0, levels, n) / levels  # ties
    weights = rng.integers(0, 4, (3, n)).astype(float)
    weights[:, :2] = 1
    hard = predicted > 0.5
    for row, ours in enumerate(
        zip(*(f(truth, predicted, weights) for f in (accuracy, balanced_accuracy, auc)), strict=True)
    ):
        w = weights[row]
        theirs = (
            sklearn.accuracy_score(truth, hard, sample_weight=w),
            sklearn.balanced_accuracy_score(truth, hard, sample_weight=w),
            sklearn.roc_auc_score(truth, predicted, sample_weight=w),
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 40), st.integers(1, 5), st.sampled_from([0.0, 1000.0]))
def test_weighted_r2_is_scikit_learns(seed: int, n: int, outputs: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, outputs)) * rng.uniform(0.1, 5, outputs) + offset
    predicted = truth + rng.normal(size=truth.shape)
    weights = rng.integers(1, 4, (2, n)).astype(float)
    theirs = [sklearn.r2_score(truth, predicted, sample_weight=w, multioutput="variance_weighted") for w in weights]
    np.testing.assert_allclose(r2(truth, predicted, weights), theirs, rtol=1e-6, atol=1e-6)


def test_scores_that_are_not_defined_are_nan() -> None:
    ones, weights = np.ones(4), np.ones((1, 4))
    assert np.isnan(auc(ones, ones, weights)).all()
    assert np.isnan(balanced_accuracy(ones, ones, weights)).all()
    assert np.isnan(r2(np.ones((4, 2)), np.zeros((4, 2)), weights)).all()
    assert accuracy(ones, ones, weights) == 1


def test_photographs_of_one_person_are_not_independent() -> None:
    """Ten copies of each of 60 items: an interval over people stays as wide as that of the 60."""
    rng = np.random.default_rng(0)
    errors = rng.normal(size=60)
    single = interval(People([str(i) for i in range(60)]).replicates(mean_error, errors, errors))
    copies = np.repeat(errors, 10)
    clustered = interval(People([str(i // 10) for i in range(600)]).replicates(mean_error, copies, copies))
    apart = interval(People([str(i) for i in range(600)]).replicates(mean_error, copies, copies))
    assert clustered.mean == pytest.approx(single.mean)
    assert clustered.high - clustered.low == pytest.approx(single.high - single.low, rel=0.15)
    assert apart.high - apart.low < 0.5 * (clustered.high - clustered.low)
    assert single.high - single.low == pytest.approx(2 * 1.96 * errors.std() / np.sqrt(60), rel=0.2)


def test_an_interval_is_repeatable_and_one_person_has_none() -> None:
    errors = np.arange(6.0)
    people = ["a", "a", "b", "c", "c", "d"]
    assert interval(People(people).replicates(mean_error, errors, errors)) == interval(
        People(people).replicates(mean_error, errors, errors)
    )
    alone = interval(People(["a"] * 6).replicates(mean_error, errors, errors))
    assert alone.mean == 2.5
    assert np.isnan(alone.low)


@pytest.mark.parametrize(("baseline", "image", "source", "share"), [(0.5, 0.9, 0.7, 0.5), (11.0, 8.0, 9.5, 0.5)])
def test_leakage_is_the_share_of_the_way_whatever_the_direction(
    baseline: float, image: float, source: float, share: float
) -> None:
    wrapped = [np.full(9, value) for value in (source, baseline, image)]
    np.testing.assert_allclose(leakage(*wrapped), share)
    np.testing.assert_allclose(leakage(wrapped[2], *wrapped[1:]), 1)
    np.testing.assert_allclose(leakage(wrapped[1], *wrapped[1:]), 0)


def test_where_the_image_tells_nothing_there_is_no_leakage_to_speak_of() -> None:
    draws = np.random.default_rng(0).normal(0, 0.1, 200)
    baseline = np.full(200, 0.5)
    assert np.isnan(leakage(baseline + 0.2, baseline, baseline)).all()
    assert np.isnan(leakage(baseline + 0.2, baseline, baseline + 0.05 + draws)).all()
    assert not np.isnan(leakage(baseline + 0.2, baseline, baseline + 0.4 + draws)).all()
