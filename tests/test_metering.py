"""Budgets and access: what a method gets of the encoder, and what is counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from faceinv.attack import invert
from faceinv.attack.meter import Meter
from faceinv.contracts import Candidate, Inversion, InversionTask
from faceinv.errors import PluginError
from faceinv.testing.spy import DescriptorDistance
from faceinv.testing.toy_networks import ToyEncoder, ToyGenerator


@pytest.fixture(scope="module")
def generator() -> ToyGenerator:
    return ToyGenerator().requires_grad_(False)


@pytest.fixture(scope="module")
def encoder() -> ToyEncoder:
    return ToyEncoder().requires_grad_(False)


@pytest.fixture(scope="module")
def descriptors(generator: ToyGenerator, encoder: ToyEncoder) -> Tensor:
    return encoder(generator(generator.sample(3, "z", torch.Generator().manual_seed(0)), "z"))


@pytest.fixture
def meter(generator: ToyGenerator, encoder: ToyEncoder, descriptors: Tensor) -> Callable[..., Meter]:
    def make(**how: object) -> Meter:
        settings = {"method": "m", "access": "white-box", "budget": 4, "batch_size": 2} | how
        return Meter(encoder, generator, "z", DescriptorDistance(), descriptors, **settings)  # type: ignore[arg-type]

    return make


def test_images_are_counted_by_the_target_they_are_for(meter, generator: ToyGenerator) -> None:
    counted = meter()
    images = generator(torch.zeros(3, 6), "z")
    counted.encode(images)
    counted.score(torch.tensor([2, 2, 0]), latents=torch.zeros(3, 6))
    assert counted.queries.tolist() == [2, 1, 3]
    assert counted.image_steps.tolist() == [1, 1, 1]


@pytest.mark.parametrize("kind", [torch.long, torch.int32])
def test_a_tensor_of_targets_that_is_filled_anew_counts_anew(meter, generator: ToyGenerator, kind: torch.dtype) -> None:
    counted, of = meter(), torch.tensor([0, 1], dtype=kind)
    images = generator(torch.zeros(2, 6), "z")
    counted.encode(images, of)
    counted.encode(images, of)
    of[1] = 2
    counted.encode(images, of)
    with torch.inference_mode():
        asked = torch.tensor([2, 2], dtype=kind)
        counted.score(asked, latents=torch.zeros(2, 6))
        asked.fill_(1)
        counted.score(asked, latents=torch.zeros(2, 6))
    assert counted.queries.tolist() == [3, 4, 3]


def test_who_goes_over_the_budget_is_refused_before_anything_is_asked(generator: ToyGenerator, meter) -> None:
    asked: list[int] = []
    counted = meter(budget=2, on_images=asked.append)
    counted.score(torch.tensor([0, 1, 1]), latents=torch.zeros(3, 6))
    with pytest.raises(PluginError, match=r"method 'm' passes 3 images of a target to the encoder; its budget is 2 "):
        counted.score(torch.tensor([1]), latents=torch.zeros(1, 6))
    with pytest.raises(PluginError, match="its budget is 2"):
        counted.encode(generator(torch.zeros(3, 6), "z"))
    assert (asked, counted.queries.tolist()) == ([3], [1, 2, 0])


def test_scores_are_the_objective_of_each_candidate(
    meter, generator: ToyGenerator, encoder: ToyEncoder, descriptors: Tensor
) -> None:
    latents = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    of = torch.tensor([2, 0, 0, 1, 2])
    images = generator(latents, "z")
    expected = (encoder(images) - descriptors[of]).square().sum(1)
    for given in ({"latents": latents}, {"images": images}, {"latents": latents, "images": images}):
        total, terms = meter(access="scores").score(of, **given)
        torch.testing.assert_close(total, expected)
        torch.testing.assert_close(terms["id"], expected)
        assert not total.requires_grad


def test_access_to_scores_gives_no_descriptors(meter, generator: ToyGenerator) -> None:
    with pytest.raises(PluginError, match=r"'m' declares access='scores' but asks for descriptors .*'white-box'"):
        meter(access="scores").encode(generator(torch.zeros(3, 6), "z"))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")  # PyTorch's forward mode, of itself
def test_scores_carry_no_gradient_whatever_the_method_did_to_the_generator(
    encoder: ToyEncoder, descriptors: Tensor
) -> None:
    generator = ToyGenerator().requires_grad_(False)
    generator.register_forward_hook(lambda *_: torch.set_grad_enabled(True) and None)
    counted = Meter(encoder, generator, "z", DescriptorDistance(), descriptors, method="m", access="scores", budget=4)
    latents, of = torch.zeros(3, 6, requires_grad=True), torch.arange(3)
    images = torch.full((3, 3, 16, 16), 0.5, requires_grad=True)
    for given in ({"latents": latents}, {"images": images}):
        total, terms = counted.score(of, **given)
        assert not total.requires_grad
        assert not terms["id"].requires_grad
    with torch.autograd.forward_ad.dual_level():
        along = torch.autograd.forward_ad.make_dual(images.detach(), torch.ones_like(images))
        total, _ = counted.score(of, images=along)
        assert torch.autograd.forward_ad.unpack_dual(total).tangent is None


def test_a_further_gradient_of_the_same_images_is_a_further_image_step(meter, generator: ToyGenerator) -> None:
    counted = meter(budget=2)
    latents = torch.zeros(3, 6, requires_grad=True)
    descriptors = counted.encode(generator(latents, "z"))
    torch.autograd.grad(descriptors[:, 0].sum(), latents, retain_graph=True)
    assert counted.image_steps.tolist() == [1, 1, 1]
    torch.autograd.grad(descriptors[:, 1].sum(), latents, retain_graph=True)
    assert (counted.image_steps.tolist(), counted.queries.tolist()) == ([2, 2, 2], [2, 2, 2])
    with pytest.raises(PluginError, match="passes 3 images of a target to the encoder; its budget is 2"):
        torch.autograd.grad(descriptors[:, 2].sum(), latents)


def test_a_question_that_names_no_target_is_one_line(meter, generator: ToyGenerator) -> None:
    latents = torch.zeros(4, 6)
    for ask, text in (
        (lambda m: m.encode(generator(latents, "z")), "passes 4 images for 3 targets; give the target of each"),
        (lambda m: m.encode(generator(latents, "z"), torch.tensor([0, 1, 2, 3])), "names targets that do not exist"),
        (lambda m: m.score(torch.tensor([0, 1]), latents=latents), "2 rows in 'of'"),
        (lambda m: m.score(torch.tensor([0, 1])), "as many latents, images or both"),
    ):
        with pytest.raises(PluginError, match=text) as refused:
            ask(meter())
        assert "\n" not in str(refused.value)


class Searches:
    """Images without latents, scored and encoded."""

    def __call__(self, task: InversionTask) -> Inversion:
        images = torch.full((len(task.descriptors), 3, 16, 16), 0.5)
        task.score(torch.arange(len(images)), images=images)
        total, _ = task.objective(
            Candidate(None, images, task.encode(images)), task.objective.prepare(task.descriptors)
        )
        return Inversion(None, images, images, {"total": total[None].repeat(2, 1)})


def test_images_need_no_latents(generator: ToyGenerator, encoder: ToyEncoder, descriptors: Tensor) -> None:
    result = invert(
        Searches(), descriptors, encode=encoder, access="white-box", generator=generator, space="z",
        objective=DescriptorDistance(), start=None, steps=2, seeds=[0, 1, 2], batch_size=2,
    )  # fmt: skip
    assert result.latents is None
    assert result.images.shape == (3, 3, 16, 16)
    assert (result.queries, result.image_steps) == (2, 1)
    assert result.trajectory["total"].shape == (2, 3)
