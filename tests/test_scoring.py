"""Scores: encoders once, floors that leave the person out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from faceinv.plugins import Host
from faceinv.registry import load_target
from faceinv.scoring import embed_all, score
from faceinv.testing.toy_networks import ToyEncoder


@pytest.fixture
def metrics() -> dict:
    spec = Host().spec("metric", "id_sim_critic")
    return {"id_sim_critic": (spec, load_target(spec)(**spec.options))}


def test_pairs_strangers_and_other_photographs(metrics: dict) -> None:
    rng = torch.Generator().manual_seed(0)
    targets, results = torch.rand(5, 3, 16, 16, generator=rng), torch.rand(5, 3, 16, 16, generator=rng)
    encoder = ToyEncoder()
    who = ["ann", "bob", "ann", "cid", "ann"]
    columns = score(targets, results, metrics, {"critic": encoder}, who)
    with torch.no_grad():
        cosine = nn.functional.cosine_similarity(encoder(results)[:, None], encoder(targets)[None], dim=2)
    assert columns["id_sim_critic"] == pytest.approx(cosine.diagonal().tolist(), abs=1e-6)
    assert columns["id_sim_critic_floor"][0] == pytest.approx(float(cosine[0, [1, 3]].mean()), abs=1e-6)
    assert columns["id_sim_critic_other"][0] == pytest.approx(float(cosine[0, [2, 4]].mean()), abs=1e-6)
    assert math.isnan(columns["id_sim_critic_other"][1])


def test_without_identities_everybody_else_is_a_stranger(metrics: dict) -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 16, 16, generator=rng)
    columns = score(images, images, metrics, {"critic": ToyEncoder()})
    assert set(columns) == {"id_sim_critic", "id_sim_critic_floor"}
    assert columns["id_sim_critic"] == pytest.approx([1.0] * 4, abs=1e-6)
    assert max(columns["id_sim_critic_floor"]) < 1


def test_an_encoder_runs_once_for_each_image() -> None:
    seen = []

    def encode(batch: torch.Tensor) -> torch.Tensor:
        seen.append(len(batch))
        return batch.flatten(1)[:, :4]

    assert embed_all(encode, torch.rand(70, 3, 4, 4), batch_size=32).shape == (70, 4)
    assert seen == [32, 32, 6]
