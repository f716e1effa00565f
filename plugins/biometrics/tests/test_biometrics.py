"""Attack success and identification on hand-made scores."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from faceinv_biometrics import plugin
from faceinv_biometrics.identification import Identification
from faceinv_biometrics.success import AttackSuccess
from scipy.stats import binomtest

from faceinv.contracts import IdentityScores, Threshold
from faceinv.testing.parametrize import parametrize_with_checks

NAN = float("nan")
#: Scores of the last two targets against the others in a gallery.
LAST = [[0.5, 0.3, NAN, 0.1], [0.4, 0.3, 0.2, NAN]]


def threshold(rate: float, at: float | None) -> Threshold:
    reason = None if at is not None else "too few pairs: …"
    return Threshold(rate, at, None if at is None else 40, 4_000, 100, None if at is None else 0.9, reason, None)


def scores(thresholds: tuple[Threshold, ...] = (), role: str = "critic") -> IdentityScores:
    return IdentityScores(
        role=role,
        encoder="net",
        leaked=torch.tensor([0.9, 0.5, 0.4, 0.1]),
        others=torch.tensor([[0.8, 0.2], [0.3, NAN], [0.4, 0.5], [NAN, NAN]]),
        strangers=torch.full((4, 4), 0.0),
        gallery_leaked=torch.tensor([[NAN, 0.1, 0.2, 0.3], [0.6, NAN, 0.5, 0.1], *LAST]),
        gallery_other=torch.tensor([[NAN, 0.9, 0.2, 0.3], [0.2, NAN, 0.1, 0.1], *LAST]),
        thresholds=thresholds,
    )


def test_accepted_from_the_threshold_up() -> None:
    found = AttackSuccess()([scores((threshold(0.01, 0.5),))])
    first, second = found.rows
    assert (first["type"], first["accepted"], first["n"], first["share"]) == ("I", 2, 4, 0.5)
    interval = binomtest(2, 4).proportion_ci(method="wilson")
    assert (first["low"], first["high"]) == pytest.approx((interval.low, interval.high))
    # Only the first other photograph counts; the last target has none.
    assert (second["type"], second["accepted"], second["n"]) == ("II", 1, 3)
    assert (second["photographs"], second["share_all"]) == (5, pytest.approx((0.5 + 0 + 0.5) / 3))
    assert second["low_all"] <= second["share_all"] <= second["high_all"]
    assert first["tmr"] == 0.9
    assert found.columns["success_type1@0.01:critic"].tolist() == [1, 1, 0, 0]
    assert found.columns["success_type2@0.01:critic"].tolist() == pytest.approx([1, 0, 0, NAN], nan_ok=True)


def test_where_no_threshold_could_be_measured_there_is_no_share() -> None:
    found = AttackSuccess()([scores((threshold(1e-4, None),))])
    assert list(found.columns) == ["success_cosine_type2:critic"]
    for row in found.rows:
        assert row["share"] is row["accepted"] is row["low"] is row["threshold"] is None
        assert row["reason"] == "too few pairs: …"
        assert row["n"] == (4 if row["type"] == "I" else 3)
    assert found.rows[1]["share_all"] is None


def test_without_other_photographs_there_is_no_type_two() -> None:
    alone = scores((threshold(0.01, 0.5),))
    alone = IdentityScores(**{**vars(alone), "others": torch.empty(4, 0)})
    found = AttackSuccess()([alone])
    assert found.rows[1]["n"] == 0
    assert found.rows[1]["share"] is None
    assert "another photograph" in found.rows[1]["reason"]
    assert list(found.columns) == ["success_type1@0.01:critic"]
    assert list(Identification()([alone]).columns) == ["identification_leaked:critic"]


def test_every_role_has_its_own_thresholds() -> None:
    found = AttackSuccess()([scores((threshold(0.01, 0.95),), "attacked"), scores((threshold(0.01, 0.0),), "critic:x")])
    assert [(row["role"], row["accepted"]) for row in found.rows if row["type"] == "I"] == [
        ("attacked", 0),
        ("critic:x", 4),
    ]
    assert "success_type1@0.01:critic:x" in found.columns


def test_the_rank_counts_those_who_score_as_high() -> None:
    found = Identification(ranks=(1, 3))([scores()])
    # 0.5 against 0.6 and an equal 0.5: a tie counts against the attack.
    assert found.columns["identification_leaked:critic"].tolist() == [1, 3, 2, 4]
    assert found.columns["identification_other:critic"].tolist() == pytest.approx([2, 1, 2, NAN], nan_ok=True)
    rows = {(row["gallery"], row["rank"]): row for row in found.rows}
    assert (rows["leaked", 1]["hits"], rows["leaked", 1]["n"], rows["leaked", 1]["gallery_size"]) == (1, 4, 4)
    assert (rows["leaked", 3]["hits"], rows["leaked", 3]["chance"]) == (3, 0.75)
    assert (rows["other", 1]["hits"], rows["other", 1]["n"]) == (1, 3)


@parametrize_with_checks(plugin)
def test_conformance(check: Callable[[], None]) -> None:
    check()
