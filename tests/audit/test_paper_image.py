"""The paper's network that sees the image: what it learns, and for which attributes there is one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from faceinv.audit.annotations import annotation_probe
from faceinv.audit.image_reader import CROP
from faceinv.audit.paper_image import PaperNetwork, paper_recipe, read_by_paper
from faceinv.contracts import Recipe
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.weights import WeightStore


def squares(n: int) -> tuple[Tensor, Tensor]:
    """Return images with one bright square, and where it is, ``(n, 1, 2)`` in frame coordinates."""
    places = torch.rand(n, 2, generator=torch.Generator().manual_seed(3)) * 0.8 + 0.1
    grid = (torch.arange(16) + 0.5) / 16
    x, y = ((grid - places[:, side, None]).abs() < 0.1 for side in (0, 1))
    return (x[:, None, None, :] & y[:, None, :, None]).expand(n, 3, 16, 16).to(torch.uint8) * 255, places[:, None]


def test_it_learns_where_something_is_and_repeats_itself() -> None:
    crops, places = squares(250)
    labels = places.clone()
    labels[::10] = float("nan")
    # The paper's plain SGD needs its 150 epochs of many photographs.
    recipe = Recipe(optimizer="adam", learning_rate=3e-3, batch_size=16, epochs=6)
    state = torch.get_rng_state()
    train, test = torch.arange(200), torch.arange(200, 250)
    read = read_by_paper(crops, labels, recipe, train, test, seed=0)
    assert read.shape == (50, 2)
    error = (read - places[200:, 0]).norm(dim=1).mean()
    guess = (places[:200].mean(0) - places[200:, 0]).norm(dim=1).mean()
    assert error < 0.5 * guess
    assert torch.equal(read, read_by_paper(crops, labels, recipe, train, test, seed=0))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("size", [(64, 64), (224, 224), (80, 64)])
def test_it_has_the_papers_layers_and_starts_near_the_mean(size: tuple[int, int]) -> None:
    mean = torch.rand(136)
    network = PaperNetwork(size, mean, 0.02)
    kinds = [type(layer).__name__ for layer in network.offsets]
    assert (kinds.count("Conv2d"), kinds.count("Linear"), kinds.count("ReLU")) == (5, 2, 6)
    assert (network(torch.rand(2, 3, *size)) - mean).abs().max() < 0.02


def test_the_paper_has_one_for_landmarks_alone(host: Host) -> None:
    recipe = paper_recipe(Loader(host, WeightStore(host)).probe("landmarks", CROP))
    assert recipe is not None
    assert (recipe.optimizer, recipe.epochs, recipe.batch_size) == ("sgd", 150, 16)
    assert paper_recipe(annotation_probe("smiling", torch.tensor([0.0, 1.0]))) is None
