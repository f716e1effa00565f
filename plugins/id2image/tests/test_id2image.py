"""The losses and methods of ID2image."""

from __future__ import annotations

import inspect

import pytest
import torch
from faceinv_id2image.losses import IdLoss, WhitenedIdLoss
from faceinv_id2image.methods import LatentAdam, Regression
from torch import Tensor

from faceinv.attack import invert
from faceinv.attack.objective import Term, WeightedSum
from faceinv.contracts import Candidate, Inversion, InversionTask, LossContext
from faceinv.errors import PluginError
from faceinv.plugins import Host
from faceinv.probes import Whitening
from faceinv.testing.toy_networks import ToyEncoder, ToyGenerator


def run(
    method: object, descriptors: Tensor, *, steps: int, batch_size: int = 8, access: str = "white-box"
) -> Inversion:
    encoder, generator = ToyEncoder().requires_grad_(False), ToyGenerator().requires_grad_(False)
    return invert(
        method,  # type: ignore[arg-type]
        descriptors,
        encode=encoder,
        access=access,
        generator=generator,
        space="z",
        objective=WeightedSum([Term("id", IdLoss(LossContext("balanced", 1.0)), 1.0)]),
        start=lambda d: d[:, :6] * 0.1,
        steps=steps,
        seeds=list(range(len(descriptors))),
        batch_size=batch_size,
    )


@pytest.fixture(scope="module")
def descriptors() -> Tensor:
    generator = ToyGenerator()
    with torch.no_grad():
        latents = generator.sample(8, "z", torch.Generator().manual_seed(3))
        return ToyEncoder()(generator(latents, "z"))


def test_the_identity_loss_is_equation_1() -> None:
    rng = torch.Generator().manual_seed(0)
    a, d = torch.randn(3, 5, generator=rng), torch.randn(3, 5, generator=rng)
    candidate = Candidate(torch.zeros(3, 1), torch.zeros(3, 3, 2, 2), a)
    squared = (a - d).norm(dim=1) ** 2
    for preset, scale in (("paper-literal", 1.0), ("balanced", 4.0)):
        loss = IdLoss(LossContext(preset, descriptor_variance=4.0))
        torch.testing.assert_close(loss(candidate, loss.prepare(d)), squared / scale)


def test_the_whitened_loss_is_an_angle_that_sees_low_variance_axes() -> None:
    rng = torch.Generator().manual_seed(0)
    scales = torch.tensor([1.0, 1.0, 1.0, 1e-3, 1e-3])
    samples = 3 + scales * torch.randn(4000, 5, generator=rng)
    whitening = Whitening.fitted(samples, torch.arange(4000))
    loss = WhitenedIdLoss(LossContext("balanced", 1.0, whitening=whitening))

    def of(candidate: list[float], target: list[float]) -> float:
        a, d = (3 + scales * torch.tensor([values]) for values in (candidate, target))
        return float(loss(Candidate(torch.zeros(1, 1), torch.zeros(1, 3, 2, 2), a), loss.prepare(d)))

    assert of([0, 0, 0, 1, 0], [0, 0, 0, 1, 0]) == pytest.approx(0, abs=1e-3)
    # A difference on an axis with a thousandth of the scale counts as much as one on a large axis.
    assert of([1, 0, 0, 0, 0], [1, 0, 0, 1, 0]) == pytest.approx(of([1, 0, 0, 0, 0], [1, 1, 0, 0, 0]), abs=0.05)
    assert of([1, 0, 0, 0, 0], [0, 0, 0, 0, 1]) == pytest.approx(1, abs=0.1)
    # The length of the target's descriptor makes no difference.
    assert of([1, 0, 0, 1, 0], [2, 2, 0, 0, 0]) == pytest.approx(of([1, 0, 0, 1, 0], [1, 1, 0, 0, 0]), abs=0.05)
    with pytest.raises(PluginError, match="whitening"):
        WhitenedIdLoss(LossContext("balanced", 1.0))


def test_adam_improves_on_its_start_and_reports_each_step(descriptors: Tensor) -> None:
    result = run(LatentAdam(), descriptors, steps=60)
    totals = result.trajectory["total"]
    assert totals.shape == (60, 8)
    assert totals[-1].mean() < 0.1 * totals[0].mean()
    torch.testing.assert_close(totals, result.trajectory["id"])
    assert result.queries == 60


class Layered(ToyGenerator):
    """The toy faces with one latent for the pose and one for the rest, as w+ has one per layer."""

    def forward(self, latents: Tensor, space: str) -> Tensor:
        """Return the faces of latents ``(B, 2, 6)``."""
        return super().forward(torch.cat([latents[:, 0, :3], latents[:, 1, 3:]], 1), "z")


def test_in_w_plus_each_layer_has_its_own_latent(descriptors: Tensor) -> None:
    result = invert(
        LatentAdam(), descriptors, encode=ToyEncoder().requires_grad_(False), access="white-box",
        generator=Layered().requires_grad_(False), space="w+",
        objective=WeightedSum([Term("id", IdLoss(LossContext("balanced", 1.0)), 1.0)]),
        start=lambda d: (d[:, :6] * 0.1)[:, None].expand(-1, 2, -1), steps=40, seeds=list(range(8)), batch_size=8,
    )  # fmt: skip
    assert result.latents is not None
    assert result.latents.shape == (8, 2, 6)
    assert not torch.allclose(result.latents[:, 0], result.latents[:, 1])
    assert bool((result.trajectory["total"][-1] < result.trajectory["total"][0]).all())


def test_a_target_is_independent_of_its_batch(descriptors: Tensor) -> None:
    together = run(LatentAdam(), descriptors, steps=20)
    alone = run(LatentAdam(), descriptors, steps=20, batch_size=1)
    torch.testing.assert_close(together.latents, alone.latents, atol=1e-4, rtol=1e-4)


def test_adam_equals_torchs_on_each_target(descriptors: Tensor) -> None:
    encoder, generator = ToyEncoder().requires_grad_(False), ToyGenerator().requires_grad_(False)
    latent = (descriptors[:1, :6] * 0.1).clone().requires_grad_()
    optimizer = torch.optim.Adam([latent], lr=0.01)
    for _ in range(15):
        optimizer.zero_grad()
        (encoder(generator(latent, "z")) - descriptors[:1]).square().sum().backward()
        optimizer.step()
    result = run(LatentAdam(learning_rate=0.01, patience=0), descriptors, steps=15)
    torch.testing.assert_close(result.latents[:1], latent.detach(), atol=1e-4, rtol=1e-4)


def test_converged_targets_cost_nothing_more_and_keep_their_best(descriptors: Tensor) -> None:
    whole = run(LatentAdam(patience=0), descriptors, steps=300)
    result = run(LatentAdam(patience=10, tolerance=0.05), descriptors, steps=300, batch_size=4)
    assert result.queries_mean < result.queries <= 300
    assert result.image_steps_mean == result.queries_mean
    totals = result.trajectory["total"]
    assert totals.shape == (result.queries, 8)
    # The same as without convergence until the first target leaves; its loss then stays at its last value.
    torch.testing.assert_close(totals[:10], whole.trajectory["total"][:10])
    waits = (totals == totals[-1]).int().flip(0).cumprod(0).sum(0)
    assert waits.max() > 10
    # A target that left has the latent of its lowest loss, not its last.
    encoder, generator = ToyEncoder(), ToyGenerator()
    with torch.no_grad():
        reached = (encoder(generator(result.latents, "z")) - descriptors).square().sum(1)
    gone = waits > 1
    torch.testing.assert_close(reached[gone], totals.min(0).values[gone], atol=1e-6, rtol=1e-4)
    assert reached.mean() < 0.1 * totals[0].mean()


def test_regression_is_the_start_and_makes_no_query(descriptors: Tensor) -> None:
    result = run(Regression(), descriptors, steps=0, access="scores")
    assert result.queries == 0
    torch.testing.assert_close(result.images, result.start)


def test_the_paper_preset_has_the_papers_learning_rate() -> None:
    spec = Host().spec("method", "latent-adam")
    assert spec.preset_options["paper"] == {"learning_rate": 0.001, "patience": 0}


def test_a_method_is_never_given_a_target_image() -> None:
    names = set(inspect.signature(InversionTask).parameters)
    assert names == {"descriptors", "generator", "space", "encode", "objective", "start", "steps", "seeds", "score"}
