"""Groups: who is in them, differences between them, and Holm's correction."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from faceinv.data.groups import banded, columns_of_file, grouping, prediction_error, worded
from faceinv.errors import UsageError
from faceinv.scoring.groups import Groups, holm, weighted_mean


def test_small_and_unknown_groups_are_left_out_and_counted() -> None:
    groups = Groups(["a"] * 40 + ["b"] * 35 + ["c"] * 5 + [None] * 3, [str(k) for k in range(83)])
    assert (groups.kept, groups.small, groups.unknown) == ({"a": 40, "b": 35}, {"c": 5}, 3)
    assert groups.compared == ["b"]
    assert groups.member().sum() == 75


def test_a_difference_is_found_where_there_is_one_and_only_there() -> None:
    rng = np.random.default_rng(0)
    groups = Groups(["a"] * 60 + ["b"] * 60, [str(k) for k in range(120)])
    noise = rng.standard_normal(120)
    for shift, found in ((0.0, False), (1.0, True)):
        values = noise + np.repeat([0.0, shift], 60)
        own, rest = (groups.replicates(groups.member(name), weighted_mean, values, values) for name in "ba")
        gap = groups.difference(groups.member(), own, rest)
        assert math.isclose(gap.estimate.mean, values[60:].mean() - values[:60].mean())
        assert (gap.p < 0.01) is found
        assert (gap.estimate.low > 0) is found


def test_people_are_drawn_whole() -> None:
    values = np.repeat(np.random.default_rng(1).standard_normal(10), 8)
    one, many = (
        Groups(["a"] * 80, people).estimate(
            np.ones(80, bool),
            Groups(["a"] * 80, people).replicates(np.ones(80, bool), weighted_mean, values, values),
        )
        for people in ([str(k) for k in range(80)], [str(k // 8) for k in range(80)])
    )
    assert many.people == 10
    assert many.high - many.low > 2 * (one.high - one.low)


def test_holm_corrects_and_keeps_order() -> None:
    assert holm([0.04, 0.01, float("nan"), 0.03]) == pytest.approx([0.06, 0.03, float("nan"), 0.06], nan_ok=True)
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_columns_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image,sex,male,age\nx/a.jpg,woman,0,17\nb.jpg,,1,44.9\nc.jpg,man,1,45\n")
    columns = columns_of_file(path, ["x/a.jpg", "y/b.jpg", "c.jpg", "d.jpg"])
    assert columns["sex"] == {"x/a.jpg": "woman", "c.jpg": "man"}
    assert columns["male"] == {"x/a.jpg": "not male", "y/b.jpg": "male", "c.jpg": "male"}
    found = grouping("AGE", columns, "labels.csv")
    assert found.of(["x/a.jpg", "y/b.jpg", "c.jpg", "d.jpg"]) == ["under 18", "30 to 45", "45 to 60", None]
    with pytest.raises(UsageError, match="Did you mean 'sex'"):
        grouping("sez", columns, "labels.csv")


def test_numbers_become_thirds_and_few_values_stay() -> None:
    values = {str(k): str(k) for k in range(30)}
    assert sorted(set(banded(values, "weight").values())) == ["9.667 to 19.33", "from 19.33", "under 9.667"]
    assert banded({"a": "1", "b": "2"}, "weight") == {"a": "1", "b": "2"}
    assert worded({"a": "-1", "b": "1"}, "hat") == {"a": "not hat", "b": "hat"}


def test_a_prediction_is_compared_with_the_truth() -> None:
    assert "1 of 2 are wrong (50 %)" in prediction_error({"a": "male", "b": "male"}, {"a": "male", "b": "not male"})
    assert "n = 2" in (told := prediction_error({"a": "20", "b": "30"}, {"a": "25", "b": "27", "c": "1"}))
    assert "4.0 on average" in told
    assert prediction_error({"a": "1"}, {}) == ""
