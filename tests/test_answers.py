"""Several answers to one descriptor: do their ranges hold, do they differ, and are they the same again?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faceinv.attack.equal import at_equal_cosine
from faceinv.scoring.calibration import LEVELS, calibrate, student_quantile

TOY = ("--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--losses", "id", "--steps", "6",
       "--pairs", "200", "--metric", "id_sim_critic", "--metric", "success")  # fmt: skip
PEOPLE = ("--plugin", str(Path(__file__).with_name("toy_people.py")))


def test_quantiles_of_student() -> None:
    # Tables of the distribution.
    assert student_quantile(0.975, 1) == pytest.approx(12.7062, rel=1e-3)
    assert student_quantile(0.9, 3) == pytest.approx(1.6377, rel=1e-4)
    assert student_quantile(0.75, 7) == pytest.approx(0.7111, rel=1e-4)


def test_ranges_hold_where_the_truth_is_one_of_the_answers() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((400, 6, 5)) + rng.standard_normal((400, 1, 5))
    held = calibrate(drawn[:, :5], drawn[:, 5], [str(k) for k in range(400)])
    assert [found.mean for found in held.inside] == pytest.approx(LEVELS, abs=0.03)
    assert held.factor == pytest.approx(1, abs=0.1)


def test_ranges_that_are_too_narrow_are_told_and_scaled_on_other_people() -> None:
    rng = np.random.default_rng(2)
    truth = rng.standard_normal((400, 4))
    answers = (truth + rng.standard_normal((400, 4)))[:, None] + 0.25 * rng.standard_normal((400, 6, 4))
    held = calibrate(answers, truth, [str(k // 2) for k in range(400)])
    assert held.inside[1].mean < 0.5
    assert held.factor > 2
    assert held.scaled[1].mean == pytest.approx(0.8, abs=0.05)
    assert held.inside[0].people == 200


def test_one_person_has_no_factor() -> None:
    held = calibrate(np.random.default_rng(3).standard_normal((4, 3, 2)), np.zeros((4, 2)), ["a"] * 4)
    assert held.scaled == ()
    assert np.isnan(held.factor)


def test_answers_are_taken_back_to_one_cosine() -> None:
    rng = torch.Generator().manual_seed(0)
    wanted = torch.randn(6, 5, generator=rng)
    starts = [0.4 * torch.randn(6, 5, generator=rng) - 0.5 * wanted for _ in range(3)]
    # Each answer is nearer than its start, by another share.
    ends = [start + share * (wanted - start) for start, share in zip(starts, (0.9, 0.8, 0.7), strict=True)]
    found, reached = at_equal_cosine(starts, ends, wanted, lambda latents: latents.tanh() + latents)
    cosines = [torch.nn.functional.cosine_similarity(some.tanh() + some, wanted) for some in found]
    for each in cosines:
        assert torch.allclose(each, reached.min(1).values, atol=0.02)
    lowest = reached.argmin(1)
    for row, answer in enumerate(lowest.tolist()):
        assert torch.equal(found[answer][row], ends[answer][row])


def test_several_answers_are_recorded_and_shown(run: Any, cache: Path, tmp_path: Path) -> None:
    def bench(name: str, *more: str) -> dict[str, Any]:
        people = ("--dataset", "toy-people", "--limit", "4", "--per-person", "1", "--out", tmp_path / name)
        result = run(*PEOPLE, "bench", *TOY, *people, "--answers", "3", *more)
        assert result.code == 0, result.err
        (file,) = (tmp_path / name / "cells").glob("*.json")
        return json.loads(file.read_text())

    record = bench("whole")
    facts = record["answers"]
    assert facts["answers"] == len(facts["cosines"]) == 3
    assert min(facts["cosines"]) > 0.5
    # At one cosine for each target, the least that was reached; here the first start is above it, and stays there.
    apart = abs(facts["cosines"][1] - facts["cosines"][2])
    assert apart < 0.01
    assert apart < abs(facts["reached"][1] - facts["reached"][2])
    assert facts["cosines"][0] < facts["reached"][0]
    pictures = tmp_path / "whole" / "cells" / record["id"]
    first, second, third = ((pictures / f"00000{what}.png").read_bytes() for what in ("", "-answer2", "-answer3"))
    assert len({first, second, third}) == 3
    assert (tmp_path / "whole" / "answers.png").is_file()
    assert "What is known, and what is guessed?" in (tmp_path / "whole" / "report.html").read_text()
    assert {"00000-answer2.png", "00000-mean.png", "00000-unsure.png"} <= set(record["digests"])
    # The same in batches of another size, to the picture.
    parts = bench("parts", "--batch-size", "3")
    assert parts["id"] == record["id"]
    assert {k: v for k, v in parts["digests"].items() if "answer" in k} == {
        k: v for k, v in record["digests"].items() if "answer" in k
    }


def test_mistakes(run: Any) -> None:
    for given in ("0", "65"):
        result = run("bench", *TOY, "--dataset", "toy-targets", "--answers", given, "--dry-run")
        assert result.code == 2
        assert "answers" in result.err
