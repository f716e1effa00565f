"""Descriptors from decisions, and attacks that learn from the part of a descriptor that leaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from faceinv.attack.decisions import from_decisions
from faceinv.attack.leaks import Answers
from faceinv.attack.pairs import Pairs
from faceinv.attack.views import View, rounded_to_bits
from faceinv.contracts.leaks import Leak
from faceinv.errors import PluginError
from faceinv.report.leaks import source
from faceinv.storage.records import CellConfig

D, THRESHOLD = 12, 0.55


class Faces:
    """A generator and an encoder in one: latents to descriptors, not linear."""

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(0)
        self.weights = torch.randn(D, D, generator=rng)

    def __call__(self, latents: Tensor) -> Tensor:
        return torch.tanh(latents @ self.weights / 3) + 0.1


@pytest.fixture
def faces() -> Faces:
    return Faces()


def pairs(faces: Faces, n: int, seed: int) -> Pairs:
    latents = torch.randn(n, D, generator=torch.Generator().manual_seed(seed))
    return Pairs(latents, faces(latents))


def attack(faces: Faces, n: int) -> tuple[float, Answers]:
    targets = pairs(faces, 12, 7).descriptors
    answers = Answers(targets, Leak("decisions", n), threshold=THRESHOLD)
    found = from_decisions(answers, pairs(faces, 500, 1), faces)
    return float(nn.functional.cosine_similarity(found, targets).mean()), answers


def test_decisions_give_the_descriptor_if_there_are_enough(faces: Faces) -> None:
    (one, first), (few, some), (many, all_of_them) = (attack(faces, n) for n in (1, 60, 400))
    assert one < few < many
    assert many > 0.98
    assert first.entered.sum() <= some.entered.sum() <= all_of_them.entered.sum() == 12
    for answers, limit in ((first, 1), (some, 60), (all_of_them, 400)):
        assert 0 < int(answers.asked.max()) <= limit


class Peeping:
    """An attack that asks for whatever a system might tell, and for more decisions than leak."""

    def __init__(self, answers: Answers, shown: Tensor) -> None:
        self.answers, self.shown, self.learnt = answers, shown, list[bool]()

    def everything(self) -> None:
        while True:
            self.learnt += self.answers.decisions(self.shown[:1], torch.tensor([0])).tolist()


def test_an_attack_gets_no_more_than_decisions(faces: Faces) -> None:
    shown = pairs(faces, 4, 2).descriptors
    answers = Answers(shown, Leak("decisions", 5), threshold=THRESHOLD)
    peeping = Peeping(answers, shown)
    with pytest.raises(PluginError, match="asks for 6 answers, and the leak is 'decisions:5'"):
        peeping.everything()
    # Its own descriptor is accepted, five times; of the others nothing was asked.
    assert peeping.learnt == [True] * 5
    assert answers.asked.tolist() == [5, 0, 0, 0]
    for ask in (answers.part, lambda: answers.scores(shown)):
        with pytest.raises(PluginError, match="leaks none"):
            ask()


def test_a_view_shows_what_leaks() -> None:
    whole = torch.randn(5, D, generator=torch.Generator().manual_seed(3))
    directions = nn.functional.normalize(whole)
    dims, bits = View(Leak("dims", 4, "random"), whole), View(Leak("bits", 2), whole)
    assert torch.allclose(dims(whole), directions @ dims.rows.float().T)
    assert torch.allclose(bits(whole), rounded_to_bits(directions, 2), atol=1e-6)
    assert len(bits(whole).unique()) <= 4


SMALL = ("--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--steps", "4", "--pairs", "200",
         "--metric", "id_sim_critic", "--metric", "success", "--dataset", "toy-targets")  # fmt: skip


def records(folder: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(file.read_text()) for file in (folder / "cells").glob("*.json")]
    return {record["config"]["leak"]: record for record in found}


def test_decisions_are_counted_and_recorded(run: Any, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    few = ("--losses", "id", "--limit", "16", "--leak", "decisions:5,decisions:400", "--out", out)
    result = run("bench", *SMALL, *few)
    assert result.code == 0, result.err
    by = {name: record["leak"] for name, record in records(out).items()}
    headlines = {name: source(CellConfig.model_validate(record["config"])) for name, record in records(out).items()}
    assert headlines["decisions:5"] == ("From at most 5 decisions of a system on each of", ",")
    drawn = run("export", out, "--figure", "leaks", "--out", tmp_path / "leaks.svg")
    assert drawn.code == 0, drawn.err
    assert "decisions:400" in (tmp_path / "leaks.svg").read_text()
    assert 'aria-label="What does an attacker need?' in (out / "report.html").read_text()
    assert by["decisions:5"]["answers"] <= 5
    assert by["decisions:5"]["cosine"]["mean"] < by["decisions:400"]["cosine"]["mean"]
    assert by["decisions:5"]["entered"] <= by["decisions:400"]["entered"]
    assert by["decisions:400"]["fmr"] in (0.01, 0.001)
    pairs = run("bench", *SMALL, *few, "--knowledge", "pairs:20", "--surrogate", "toy.critic", "--dry-run")
    assert (pairs.code, "needs the encoder" in pairs.err) == (2, True)
    alone = run("bench", *SMALL, *few[:2], "--limit", "2", "--leak", "decisions:5", "--out", tmp_path / "alone")
    assert (alone.code, "too few" in alone.err) == (3, True)


def test_readers_and_objective_see_only_the_part(run: Any, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    losses = ("--losses", "id,brightness", "--limit", "4", "--leak", "descriptor,dims:2,bits:1", "--out", out)
    result = run("bench", *SMALL, *losses)
    assert result.code == 0, result.err
    by = records(out)
    assert len({record["learned_hash"] for record in by.values()}) == 3
    # What is read from two numbers is read worse than from all of them.
    error = {name: record["probes"]["brightness"]["descriptor"] for name, record in by.items()}
    assert error[""] < error["dims:2:first"]


def test_a_method_reaches_nothing_but_what_leaked(
    run: Any, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "seen"
    folder.mkdir()
    monkeypatch.setenv("PEEPING", str(folder))
    leaks = ("descriptor", "dims:2", "bits:1", "scores:3", "decisions:30")
    peeping = ("--plugin", str(Path(__file__).with_name("toy_peeping.py")), "bench", *SMALL, "--method", "peeping")
    result = run(*peeping, "--losses", "id", "--limit", "16", "--leak", ",".join(leaks), "--out", tmp_path / "run")
    assert result.code == 0, result.err
    found = []
    for number in range(len(leaks)):
        with np.load(folder / f"{number}.npz") as arrays:
            found.append([torch.from_numpy(arrays[name]).float() for name in arrays.files])
    whole = next(tensor for tensor in found[0] if tensor.shape == (16, D))

    def shown(tensors: list[Tensor]) -> bool:
        """Return whether any of the tensors has a target's descriptor, at any length."""
        alike = [nn.functional.normalize(tensor) for tensor in tensors if tensor.shape[1] == D]
        return any(float((rows @ nn.functional.normalize(whole).T).max()) > 0.9999 for rows in alike)

    assert [shown(tensors) for tensors in found] == [True, False, False, False, False]
