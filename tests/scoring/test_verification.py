"""Thresholds, error rates and accuracy, compared with scikit-learn and SciPy; nothing is extrapolated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from scipy.stats import binomtest
from sklearn.metrics import roc_curve
from sklearn.metrics.pairwise import cosine_similarity

from faceinv.scoring import wilson
from faceinv.scoring.verification import (
    all_pairs,
    best_threshold,
    cross_validated_accuracy,
    equal_error_rate,
    threshold_at,
)

#: Few distinct values, so that there are many ties.
SCORES = arrays(np.float64, st.integers(1, 60), elements=st.integers(-9, 9).map(lambda k: k / 10))


def people_and_photographs(people: int, each: int, spread: float, seed: int = 0) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, 16))
    photographs = np.repeat(centres, each, axis=0) + spread * rng.normal(size=(people * each, 16))
    return photographs.astype(np.float32), [index // each for index in range(people * each)]


def test_all_pairs_are_scikit_learns() -> None:
    photographs, people = people_and_photographs(12, 3, 0.5)
    expected = cosine_similarity(photographs)
    rows, columns = np.triu_indices(36, k=1)
    same = np.array([people[a] == people[b] for a, b in zip(rows, columns, strict=True)])
    for block in (1024, 7):
        genuine, impostor = all_pairs(photographs, people, block)
        assert (len(genuine), len(impostor)) == (36, 630 - 36)
        np.testing.assert_allclose(np.sort(genuine), np.sort(expected[rows, columns][same]), atol=1e-6)
        np.testing.assert_allclose(np.sort(impostor), np.sort(expected[rows, columns][~same]), atol=1e-6)


@given(impostor=SCORES, genuine=SCORES, rate=st.sampled_from([0.02, 0.1, 0.25, 0.5]))
def test_a_threshold_is_the_lowest_score_that_keeps_the_rate(
    impostor: np.ndarray, genuine: np.ndarray, rate: float
) -> None:
    found = threshold_at(rate, impostor, genuine)
    if len(impostor) * rate < 1 - 1e-9:
        assert found.threshold is None
        assert found.tmr is None
        assert found.reason is not None
        assert "too few pairs" in found.reason
        return
    assert found.threshold is not None
    accepted = (impostor >= found.threshold).sum()
    assert found.false_matches == accepted <= rate * len(impostor) + 1e-9
    lower = impostor[impostor < found.threshold]
    # The next lower threshold would exceed the rate.
    assert (impostor >= lower.max(initial=-2)).sum() > rate * len(impostor) or not len(lower)
    assert found.tmr == pytest.approx((genuine >= found.threshold).mean())


def test_thresholds_are_those_of_scikit_learns_roc() -> None:
    rng = np.random.default_rng(0)
    impostor, genuine = rng.normal(0.05, 0.15, 20_000), rng.normal(0.6, 0.15, 900)
    labels = np.concatenate([np.zeros(len(impostor)), np.ones(len(genuine))])
    fpr, tpr, thresholds = roc_curve(labels, np.concatenate([impostor, genuine]), drop_intermediate=False)
    for rate in (1e-2, 1e-3, 1e-4):
        found = threshold_at(rate, impostor, genuine)
        last = np.flatnonzero(fpr <= rate + 1e-12)[-1]
        # Between two impostor scores any threshold accepts the same impostors; ours is the highest of them.
        assert found.false_matches == round(fpr[last] * len(impostor))
        assert found.threshold == impostor[impostor >= thresholds[last]].min()
        assert found.tmr == tpr[thresholds == found.threshold]


def test_with_too_few_pairs_it_says_so() -> None:
    scores = np.linspace(-1, 1, 9_999)
    assert threshold_at(1e-4, scores, scores).reason == (
        "too few pairs: FMR 0.0001 needs at least 10,000 impostor pairs, there are 9,999"
    )
    found = threshold_at(1e-4, np.linspace(-1, 1, 10_000), scores)
    assert (found.threshold, found.false_matches, found.reason) == (1.0, 1, None)
    assert found.note is not None
    assert "1 false match:" in found.note
    assert threshold_at(1e-2, np.linspace(-1, 1, 10_000), scores).note is None


def test_an_encoder_that_tells_nothing_accepts_nobody() -> None:
    found = threshold_at(1e-2, np.full(500, 0.3), np.full(20, 0.3))
    assert found.threshold is not None
    assert found.threshold > 0.3
    assert (found.false_matches, found.tmr) == (0, 0)


def test_the_equal_error_rate_is_where_the_roc_crosses() -> None:
    rng = np.random.default_rng(1)
    impostor, genuine = rng.normal(0.1, 0.2, 3_000), rng.normal(0.5, 0.2, 400)
    labels = np.concatenate([np.zeros(len(impostor)), np.ones(len(genuine))])
    fpr, tpr, thresholds = roc_curve(labels, np.concatenate([impostor, genuine]), drop_intermediate=False)
    expected = brentq(lambda x: 1 - x - interp1d(fpr, tpr)(x), 0, 1)
    found = equal_error_rate(genuine, impostor)
    assert found is not None
    assert found[0] == pytest.approx(expected, abs=1 / 3_000)
    nearest = thresholds[np.argmin(np.abs(1 - tpr - fpr))]
    assert found[1] == pytest.approx(nearest, abs=0.005)


@given(genuine=SCORES, impostor=SCORES)
def test_the_equal_error_rate_lies_between_both_errors(genuine: np.ndarray, impostor: np.ndarray) -> None:
    found = equal_error_rate(genuine, impostor)
    assert found is not None
    rate, threshold = found
    assert 0 <= rate <= 1
    assert -1 <= threshold <= 1
    if genuine.min() > impostor.max():
        assert rate == 0
    if genuine.max() < impostor.min():
        assert rate == 1


def test_without_genuine_pairs_there_is_no_equal_error_rate() -> None:
    assert equal_error_rate(np.empty(0), np.zeros(5)) is None
    assert threshold_at(0.5, np.array([0.1, 0.2]), np.empty(0)).tmr is None


@given(scores=SCORES, seed=st.integers(0, 99))
def test_the_best_threshold_is_the_best(scores: np.ndarray, seed: int) -> None:
    same = np.random.default_rng(seed).random(len(scores)) > 0.5
    threshold, share = best_threshold(scores, same)
    assert ((scores >= threshold) == same).mean() == share
    assert share == max(((scores >= t) == same).mean() for t in [*scores, 2])


def test_the_accuracy_does_not_see_its_own_fold() -> None:
    clear, people = people_and_photographs(40, 3, 0.05)
    found = cross_validated_accuracy(clear, people)
    assert found is not None
    assert found.accuracy == 1
    assert found.high == 1
    assert found.low == pytest.approx(binomtest(found.pairs, found.pairs).proportion_ci(method="wilson").low)
    # As many impostor as genuine pairs.
    assert found.pairs == 2 * 40 * 3
    noise, people = people_and_photographs(200, 2, 1e3)
    of_noise = cross_validated_accuracy(noise, people)
    assert of_noise is not None
    assert of_noise.low < 0.5 < of_noise.high
    assert cross_validated_accuracy(*people_and_photographs(9, 4, 0.1)) is None


@given(n=st.integers(1, 500), data=st.data())
def test_wilsons_interval_is_scipys(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    ours, theirs = wilson(hits, n), binomtest(hits, n).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=1e-9), pytest.approx(theirs.high, abs=1e-9))
    assert (ours.mean, ours.n) == (hits / n, n)


def test_a_share_of_nothing_is_no_number() -> None:
    assert np.isnan(wilson(0, 0).mean)
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)
