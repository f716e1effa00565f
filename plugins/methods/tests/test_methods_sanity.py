"""Each method behaves as its paper says, on drawn faces and a toy encoder."""

from __future__ import annotations

from typing import TypeVar

import pytest
import torch
from faceinv_methods.blobs import Blobs
from faceinv_methods.evolution import Evolution
from faceinv_methods.mapping import Mapping
from faceinv_methods.multi_start import MultiStart
from faceinv_methods.pixel import Pixel
from faceinv_methods.surrogate import Surrogate
from faceinv_methods.views import view
from faceinv_methods.whitened_views import FaceInv
from faceinv_methods.zeroth import directions, estimate
from torch import Tensor
from torch.nn.functional import cosine_similarity

from faceinv.attack import Noise, invert
from faceinv.contracts import Candidate, Inversion, InversionTask, Training
from faceinv.framing import warp_between
from faceinv.probes import Whitening
from faceinv.testing.chain import chain, start
from faceinv.testing.faces import FRAME
from faceinv.testing.spy import DescriptorDistance
from faceinv.testing.toy import FRAMING
from faceinv.testing.toy_networks import ToyEncoder

Learner = TypeVar("Learner", FaceInv, Mapping, Surrogate)


def target() -> Tensor:
    with torch.no_grad():
        return chain().sample(3, 31).descriptors


def run(method: object, steps: int, access: str = "scores", offline: str = "pairs") -> Inversion:
    return invert(
        method, target(), encode=chain().encode, access=access, generator=chain().generator, space="z",  # type: ignore[arg-type]
        objective=DescriptorDistance(), start=None if offline == "none" else start(), steps=steps, seeds=[5, 6, 7],
    )  # fmt: skip


def test_pixel_satisfies_the_attacked_encoder_and_no_other() -> None:
    images = run(Pixel(norm_weight=0.01, variation_weight=0.5), 200, "white-box", "none").images
    critic, warp = ToyEncoder(seed=2), warp_between(FRAME, FRAMING)
    with torch.no_grad():
        truth = chain().sample(3, 31).images
        attacked = cosine_similarity(chain().encode(images), target())
        judged = cosine_similarity(critic(warp(images)), critic(warp(truth)))
    assert float(attacked.mean()) > 0.97
    assert float(judged.mean()) < float(attacked.mean()) - 0.1


def test_blobs_raise_the_similarity_and_never_lower_it() -> None:
    totals = run(Blobs(), 300, offline="none").trajectory["total"]
    assert totals.shape == (300, 3)
    assert bool((totals.diff(dim=0) <= 0).all())
    assert float((totals[-1] / totals[0]).max()) < 0.7


def test_cma_beats_random_search_with_as_many_queries() -> None:
    found = run(Evolution(start="prior", sigma=0.7), 300).trajectory["total"][-1]

    class RandomSearch:
        def __call__(self, task: InversionTask) -> Inversion:
            latents = Noise(task).latents(task.steps, task.generator, task.space)
            of = torch.arange(3).repeat_interleave(task.steps)
            total = task.score(of, latents=latents.flatten(0, 1))[0].view(3, -1)
            images = torch.zeros(3, 3, 1, 1)
            return Inversion(None, images, images, {"total": total.min(1).values[None]})

    assert bool((found < run(RandomSearch(), 300, offline="none").trajectory["total"][-1]).all())


def test_the_estimated_gradient_points_along_the_true_one() -> None:
    task = InversionTask(target(), chain().generator, "z", None, None, None, None, 0, [1, 2, 3])  # type: ignore[arg-type]
    latents = start()(target()).requires_grad_()

    def distance(at: Tensor) -> Tensor:
        return (chain().encode(chain().generator(at, "z")) - target()).square().sum(1)

    (true,) = torch.autograd.grad(distance(latents).sum(), latents)
    with torch.no_grad():
        for n, least in ((2, 0.05), (8, 0.95)):
            along = directions(Noise(task), n, latents)
            ends = [torch.stack([distance(latents + r * along[:, i]) for i in range(n)], 1) for r in (1e-3, -1e-3)]
            assert float(cosine_similarity(estimate(along, *ends, 1e-3), true).min()) > least


def test_multi_start_improves_on_its_best_sample() -> None:
    result = run(MultiStart(), 200, "white-box", "none")
    with torch.no_grad():
        before, after = (
            (chain().encode(images) - target()).square().sum(1) for images in (result.start, result.images)
        )
    assert float(after.mean()) < 0.5 * float(before.mean())
    assert 190 <= result.queries <= 200


def test_multi_start_keeps_the_candidate_that_survives_views_and_not_the_best_scored_one() -> None:
    """With a learning rate of 0 the candidates are the best-scored samples, in order."""
    shift, zoom = 0.15, 0.15
    chosen, first = (
        run(MultiStart(kept=4.0, selection=share, learning_rate=0.0, shift=shift, zoom=zoom), 300, "white-box", "none")
        for share in (0.4, 0.0)
    )
    torch.testing.assert_close(first.images, first.start)
    assert not torch.equal(chosen.images, first.images)
    how = torch.rand(3, 60, 3, generator=torch.Generator().manual_seed(7)) * 2 - 1
    with torch.no_grad():
        near, far = (
            sum(
                (chain().encode(view(made.images, one, shift, zoom)) - target()).square().sum() for one in how.unbind(1)
            )
            for made in (chosen, first)
        )
    assert float(near) < float(far)


class SeesImages(DescriptorDistance):
    """An objective that records the images and latents of every candidate."""

    def __init__(self) -> None:
        self.seen: list[tuple[Tensor | None, Tensor]] = []

    def __call__(self, candidate: Candidate, prepared: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        latents = None if candidate.latents is None else candidate.latents.detach().clone()
        self.seen.append((latents, candidate.images.detach().clone()))
        return super().__call__(candidate, prepared)


@pytest.mark.parametrize("make", [Pixel, MultiStart, FaceInv])
def test_attribute_losses_see_the_image_itself_not_a_view(make: type[Pixel | MultiStart | FaceInv]) -> None:
    method = make()
    objective, shown = SeesImages(), list[Tensor]()

    def encode(images: Tensor) -> Tensor:
        shown.append(images.detach().clone())
        return chain().encode(images)

    result = invert(
        taught(method) if isinstance(method, FaceInv) else method, -target(), encode=encode, access="white-box",
        generator=chain().generator, space="z", objective=objective, start=start(), steps=60, seeds=[5, 6, 7],
    )  # fmt: skip
    with torch.no_grad():
        for latents, images in objective.seen:
            if latents is not None:
                torch.testing.assert_close(images, chain().generator(latents, "z"))
    if isinstance(method, Pixel):
        torch.testing.assert_close(objective.seen[0][1], result.start)
    assert any(
        not torch.equal(images, seen) for (_, images), seen in zip(objective.seen[::-1], shown[::-1], strict=False)
    )


def taught(method: Learner) -> Learner:
    with torch.no_grad():
        pairs = chain().sample(400, 33)
    assert pairs.latents is not None
    method.prepare(
        Training(
            latents=pairs.latents,
            descriptors=pairs.descriptors,
            generator=chain().generator,
            space="z",
            encode=chain().encode,
            whiten=Whitening.fitted(pairs.descriptors, torch.arange(400)),
            seed=0,
            cached=lambda settings, make: make(),
            progress=lambda *told: None,
        )
    )
    return method


def test_faceinv_spends_its_budget_and_reports_every_term() -> None:
    result = run(taught(FaceInv()), 60, "white-box")
    assert result.queries == 60
    assert result.trajectory["total"].shape == (55, 3)  # five queries test the views
    assert set(result.trajectory) >= {"total", "id-whitened"}


def seen_by_the_encoder(method: FaceInv, descriptors: Tensor, steps: int = 60) -> Tensor:
    """Return all images that the encoder is given, ``(queries, B, 3, H, W)``."""
    images: list[Tensor] = []

    def encode(given: Tensor) -> Tensor:
        images.append(given.detach().clone())
        return chain().encode(given)

    invert(
        taught(method), descriptors, encode=encode, access="white-box", generator=chain().generator, space="z",
        objective=DescriptorDistance(), start=lambda given: start()(target()), steps=steps, seeds=[5, 6, 7],
    )  # fmt: skip
    assert len(images) == steps
    return torch.stack(images)


def test_faceinv_shows_the_encoder_a_new_view_at_each_step_and_for_each_target() -> None:
    # A learning rate of 0 keeps the latents unchanged; the opposite target is farther away than any view.
    opposite = -target()
    plain = chain().generator(start()(target()), "z").detach()
    given = seen_by_the_encoder(FaceInv(learning_rate=0.0, shift=0.0, zoom=0.0, mirror=False), opposite)
    torch.testing.assert_close(given, plain.expand_as(given))
    given = seen_by_the_encoder(FaceInv(learning_rate=0.0, shift=0.0, zoom=0.0), opposite)
    is_plain = (given - plain).abs().amax((2, 3, 4)) < 1e-4
    is_mirrored = (given - plain.flip(3)).abs().amax((2, 3, 4)) < 1e-4
    assert bool((is_plain ^ is_mirrored).all())
    assert 10 < int(is_mirrored[:, 0].sum()) < 50
    assert not torch.equal(is_plain[:, 0], is_plain[:, 1])
    given = seen_by_the_encoder(FaceInv(learning_rate=0.0, mirror=False), opposite)
    assert not torch.equal(given[-1], given[-2])
    assert 0 < float((given[-1] - plain).abs().mean()) < 0.1


def test_faceinv_drops_views_that_the_encoder_takes_for_another_face() -> None:
    """This encoder tells views apart, but barely the start from a target that is almost reached."""
    plain = chain().generator(start()(target()), "z").detach()
    given = seen_by_the_encoder(FaceInv(learning_rate=0.0), 0.999 * chain().encode(plain).detach() + 0.001 * target())
    assert not torch.allclose(given[1], plain)
    torch.testing.assert_close(given[5:], plain.expand_as(given[5:]))


def test_faceinv_uses_no_views_if_the_budget_is_too_small() -> None:
    plain = chain().generator(start()(target()), "z").detach()
    given = seen_by_the_encoder(FaceInv(learning_rate=0.0), -target(), steps=20)
    torch.testing.assert_close(given, plain.expand_as(given))


def test_faceinvs_result_is_the_mean_of_the_last_latents() -> None:
    last, mean = (run(taught(FaceInv(mean=share)), 100, "white-box").latents for share in (0.0, 0.2))
    assert last is not None
    assert mean is not None
    with torch.no_grad():
        first = start()(target())
    assert 0 < float((mean - last).norm()) < 0.5 * float((first - last).norm())


def test_faceinv_comes_closer_in_latents_with_whitening_than_without() -> None:
    on, off = (
        run(taught(FaceInv(whitened=weight, shift=0.0, zoom=0.0, mirror=False)), 120, "white-box").latents
        for weight in (1.0, 0.0)
    )
    with torch.no_grad():
        truth = chain().sample(3, 31).latents
    assert on is not None
    assert off is not None
    assert truth is not None
    assert float((on - truth).square().sum()) < float((off - truth).square().sum())


def test_a_copy_of_the_encoder_gives_a_better_start_without_a_query() -> None:
    method = taught(Surrogate(epochs=30))
    copied, plain = run(method, 0), run(Evolution(), 0)
    assert copied.queries == plain.queries == 0
    with torch.no_grad():
        ours, theirs = ((chain().encode(one.images) - target()).square().sum(1) for one in (copied, plain))
    assert float(ours.mean()) < 0.7 * float(theirs.mean())
    # The encoder's scores then improve on it.
    assert float(run(method, 100).trajectory["total"][-1].mean()) < 0.5 * float(ours.mean())


def test_a_mapping_gives_faces_with_the_right_descriptor_in_one_pass() -> None:
    """Genova et al.'s loop through the encoder brings descriptors closer than latents alone do, without a query."""
    with torch.no_grad():
        truth = chain().sample(64, 37)

    def cosine(method: Mapping) -> float:
        result = invert(
            taught(method), truth.descriptors, encode=chain().encode, access="scores", generator=chain().generator,
            space="z", objective=DescriptorDistance(), start=None, steps=0, seeds=list(range(64)),
        )  # fmt: skip
        assert (result.queries, result.image_steps) == (0, 0)
        with torch.no_grad():
            return float(cosine_similarity(chain().encode(result.images), truth.descriptors).mean())

    by_latents = cosine(Mapping(epochs=20, steps=0))
    through_images = cosine(Mapping(epochs=20, steps=50, latent_weight=0.0, pixel_weight=0.0))
    assert through_images > by_latents > 0.5
