"""Scores of pairs: encoders run once, and floors leave the person out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from faceinv.contracts import IdentityScores
from faceinv.errors import PluginError
from faceinv.plugins import Host
from faceinv.plugins.registry import load_target
from faceinv.scoring.gallery import Gallery
from faceinv.scoring.pairs import embed_all, score_pairs, with_floors
from faceinv.scoring.recognition import identity_scores
from faceinv.testing.toy_networks import ToyEncoder


@pytest.fixture
def metrics() -> dict:
    spec = Host().spec("metric", "id_sim_critic")
    return {"id_sim_critic": (spec, load_target(spec)(**spec.options))}


def images(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def gallery(photographs: Tensor, people: tuple[int, ...], places: tuple[int, ...] | None = None) -> Gallery:
    places = places or tuple(range(len(people)))
    descriptors = {f"toy.{seed}": embed_all(ToyEncoder(seed), photographs) for seed in (1, 2)}
    return Gallery(people, places, descriptors, known=True, real=True)


def scores(role: str, results: Tensor, of: Gallery, seed: int = 1) -> IdentityScores:
    return identity_scores(role, f"toy.{seed}", embed_all(ToyEncoder(seed), results), of)


def columns_of(photographs: Tensor, results: Tensor, metrics: dict, found: dict[str, IdentityScores]) -> dict:
    pairs = score_pairs(photographs, results, metrics, {role: item.leaked for role, item in found.items()})
    return with_floors(pairs, [spec for spec, _ in metrics.values()], found)


def test_pairs_strangers_and_other_photographs(metrics: dict) -> None:
    # Five targets, followed by another photograph of the second person.
    photographs, results, people = images(6), images(5, 1), (0, 1, 0, 2, 0, 1)
    found = {"critic": scores("critic", results, gallery(photographs, people))}
    columns = columns_of(photographs[:5], results, metrics, found)
    encoder = ToyEncoder()
    with torch.no_grad():
        cosine = nn.functional.cosine_similarity(encoder(results)[:, None], encoder(photographs)[None], dim=2)
    assert columns["id_sim_critic"] == pytest.approx(cosine.diagonal().tolist(), abs=1e-6)
    assert columns["id_sim_critic_floor"][0] == pytest.approx(float(cosine[0, [1, 3]].mean()), abs=1e-6)
    assert columns["id_sim_critic_floor"][1] == pytest.approx(float(cosine[1, [0, 2, 3, 4]].mean()), abs=1e-6)
    assert columns["id_sim_critic_other"][0] == pytest.approx(float(cosine[0, [2, 4]].mean()), abs=1e-6)
    assert columns["id_sim_critic_other"][1] == pytest.approx(float(cosine[1, 5]), abs=1e-6)
    assert math.isnan(columns["id_sim_critic_other"][3])


def test_every_critic_has_columns_of_its_own(metrics: dict) -> None:
    photographs, results = images(4), images(4, 1)
    of = gallery(photographs, (0, 1, 2, 3))
    found = {
        "attacked": scores("attacked", results, of, 2),
        "critic": scores("critic", results, of, 1),
        "critic:toy.2": scores("critic:toy.2", results, of, 2),
    }
    columns = columns_of(photographs, results, metrics, found)
    assert set(columns) == {
        *("id_sim_critic", "id_sim_critic_floor"),
        *("id_sim_critic:toy.2", "id_sim_critic_floor:toy.2"),
    }
    assert columns["id_sim_critic"] == pytest.approx(found["critic"].leaked.tolist())
    assert columns["id_sim_critic:toy.2"] == pytest.approx(found["attacked"].leaked.tolist())


def test_everybody_is_enrolled_once_in_the_order_of_the_data_set() -> None:
    # Targets: two of person 0, one of 1 and one of 2; then one of 1 and two of 0, in the data set's order.
    photographs, results = images(7), images(4, 1)
    people, places = (0, 0, 1, 2, 1, 0, 0), (3, 5, 10, 20, 11, 1, 9)
    found = scores("critic", results, gallery(photographs, people, places))
    encoder = ToyEncoder()
    with torch.no_grad():
        every = nn.functional.cosine_similarity(encoder(results)[:, None], encoder(photographs)[None], dim=2)
    nan = torch.nan

    def near(found: Tensor, expected: list[list[float]]) -> None:
        torch.testing.assert_close(found, torch.tensor(expected), equal_nan=True, atol=1e-6, rtol=0)

    e = every.tolist()
    near(found.others, [[e[0][k] for k in (5, 1, 6)], [e[1][k] for k in (5, 0, 6)], [e[2][4], nan, nan], [nan] * 3])
    near(
        found.gallery_leaked[:],
        [[nan, e[k][2], e[k][3]] for k in (0, 1)] + [[e[2][0], nan, e[2][3]], [*e[3][0:3:2], nan]],
    )
    near(
        found.gallery_other[:],
        [[nan, e[k][4], e[k][3]] for k in (0, 1)] + [[e[2][5], nan, e[2][3]], [e[3][5], e[3][4], nan]],
    )


def test_an_encoder_runs_once_for_each_image() -> None:
    seen = []

    def encode(batch: torch.Tensor) -> torch.Tensor:
        seen.append(len(batch))
        return batch.flatten(1)[:, :4]

    assert embed_all(encode, torch.rand(70, 3, 4, 4), batch_size=32).shape == (70, 4)
    assert seen == [32, 32, 6]


def test_descriptors_that_are_not_finite_are_refused() -> None:
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with pytest.raises(PluginError, match="NaN or infinity for 1 of 3 images"):
        embed_all(lambda batch: batch.mean((2, 3)).index_fill(0, torch.tensor([1]), float("nan")), images)
