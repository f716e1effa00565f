"""Losses to one number."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from faceinv.attack import build_objective
from faceinv.attack.objective import (
    AttributeLoss,
    Term,
    WeightedSum,
    prepared_objective,
    whitening,
)
from faceinv.attack.preparation import Preparation
from faceinv.contracts import PRESETS, Candidate, Framing, LossContext, LossSpec
from faceinv.errors import PluginError, UnknownNameError
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.probes.reader import Split
from faceinv.storage.tensors import TensorCache
from faceinv.testing.toy_networks import BrightnessProbe
from faceinv.weights import WeightStore

FRAMING = Framing("f", (8, 8), ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.4, 0.8), (0.6, 0.8)))


def read(descriptors: Tensor) -> Tensor:
    return descriptors[:, :3].sigmoid()


def context(preset: str, error_covariance: Tensor | None = None) -> LossContext:
    return LossContext(preset, 2.0, BrightnessProbe(framing=FRAMING), read, error_covariance)


def candidate(images: Tensor, descriptors: Tensor) -> Candidate:
    return Candidate(torch.zeros(len(images), 2), images, descriptors)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(4, 3, 8, 8, generator=rng, dtype=torch.float64)
    return images, torch.randn(4, 5, generator=rng, dtype=torch.float64)


def test_the_papers_loss_is_the_squared_distance_in_its_unit(batch: tuple[Tensor, Tensor]) -> None:
    images, descriptors = batch
    loss = AttributeLoss(context("paper"), units={"paper": 10.0})
    value = loss(candidate(images, descriptors), loss.prepare(descriptors))
    expected = 100 * (images.mean((2, 3)) - read(descriptors)).square().sum(1)
    torch.testing.assert_close(value, expected)


def test_a_balanced_loss_is_in_units_of_the_probes_own_error(batch: tuple[Tensor, Tensor]) -> None:
    images, descriptors = batch
    rng = torch.Generator().manual_seed(1)
    errors = torch.randn(500, 3, generator=rng, dtype=torch.float64) @ torch.tensor(
        [[3.0, 1.0, 0.0], [0.0, 0.5, 0.2], [0.0, 0.0, 1.0]], dtype=torch.float64
    )
    covariance = errors.T @ errors / 500
    loss = AttributeLoss(context("balanced", covariance))
    value = loss(candidate(images, descriptors), loss.prepare(descriptors))
    residual = images.mean((2, 3)) - read(descriptors)
    shrunk = covariance + 0.02 * covariance.trace() / 3 * torch.eye(3, dtype=torch.float64)
    mahalanobis = [(r @ torch.linalg.solve(shrunk, r)).item() / 3 for r in residual]
    torch.testing.assert_close(value, torch.tensor(mahalanobis, dtype=torch.float64))
    # What the reader is usually wrong by costs 1, but for the shrinkage.
    assert ((errors @ whitening(covariance)).square().mean() - 1).abs() < 0.15


def test_a_reader_that_is_never_wrong_still_gives_a_loss() -> None:
    assert whitening(torch.zeros(3, 3)).isfinite().all()


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_loss_is_least_at_the_target_and_differentiable(preset: str, batch: tuple[Tensor, Tensor]) -> None:
    images, descriptors = batch
    loss = AttributeLoss(context(preset))
    flat = read(descriptors)[:, :, None, None].expand(-1, -1, 8, 8)
    prepared = loss.prepare(descriptors)
    assert loss(candidate(flat, descriptors), prepared).abs().max() < 1e-12
    assert (loss(candidate(images, descriptors), prepared) > 0).all()
    few = images[:2].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(candidate(x, descriptors[:2]), prepared[:2]), (few,))


def test_the_sum_is_weighted_and_the_terms_are_not(batch: tuple[Tensor, Tensor]) -> None:
    images, descriptors = batch
    loss = AttributeLoss(context("paper"))
    objective = WeightedSum([Term("a", loss, 2.0), Term("b", loss, 0.5)])
    total, terms = objective(candidate(images, descriptors), objective.prepare(descriptors))
    assert total.shape == (4,)
    torch.testing.assert_close(total, 2.5 * terms["a"])
    torch.testing.assert_close(terms["a"], terms["b"])


def test_the_papers_weights_are_the_papers() -> None:
    host = Host()
    weights = [host.spec("loss", name).preset_weights["paper"] for name in ("id", "lm", "hist")]
    assert weights == [1, 0.0006, 0.01]
    assert [host.spec("loss", name).weight("paper-literal") for name in ("id", "lm", "hist")] == weights


@pytest.mark.parametrize(
    ("preset", "length", "width", "pixels"), [("paper", 1, 90 / 0.299, 100), ("paper-literal", 63, 224, 1)]
)
def test_the_units_of_the_papers_presets(preset: str, length: float, width: float, pixels: float) -> None:
    host = Host()
    loader, framing = Loader(host, WeightStore(host)), host.spec("generator", "dcgan").framing
    image = torch.full((1, 3, 64, 64), 0.5)

    def value(name: str, off: float) -> float:
        spec = host.spec("loss", name)
        probe = loader.probe(spec.probe, framing) if spec.probe else None
        reader = (lambda _: probe.measure(image) + off) if probe else None
        loss = host.build(spec, LossContext(preset, 1.0, probe, reader), **spec.options)
        candidate = Candidate(None, image, 63 * torch.tensor([[0.8, 0.6]]))
        return float(loss(candidate, loss.prepare(63 * torch.tensor([[1.0, 0.0]]))))

    assert value("id", 0.0) == pytest.approx(length**2 * 0.4)
    # The eyes of the default generator are 0.299 of its frame apart, and those of the paper's crop 90 pixels.
    assert value("lm", 0.01) == pytest.approx(136 * (0.01 * width) ** 2, rel=2e-3)
    assert value("hist", 0.05) == pytest.approx(30 * (0.05 * pixels) ** 2, rel=1e-4)


def test_weights_can_be_overridden_and_presets_are_checked(host: Host) -> None:
    specs = [host.spec("loss", "id"), host.spec("loss", "brightness")]
    contexts = {"id": LossContext("paper", 2.0), "brightness": context("paper")}
    objective = build_objective(specs, contexts, {"brightness": 7.0}, "paper", host.build)
    assert [term.weight for term in objective.terms] == [1.0, 7.0]
    with pytest.raises(UnknownNameError, match=r"'papr'\. Did you mean 'paper'"):
        build_objective(specs, contexts, {}, "papr", host.build)


def test_an_attribute_loss_needs_its_probe() -> None:
    with pytest.raises(PluginError, match="must name one"):
        AttributeLoss(LossContext("paper", 1.0))


def test_the_error_covariance_is_computed_once_per_reader(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = Loader(host, WeightStore(host))
    made = Preparation(loader, "toy", "toy-faces", "z", pairs=200, preset="tuned", cache=TensorCache(tmp_path))
    part = Split.of(200).validation
    errors = made.read("brightness", made.pairs.descriptors[part]) - made.labels("brightness")[part]
    covariance = made.error_covariance("brightness")
    torch.testing.assert_close(covariance, errors.T @ errors / len(errors))
    assert made.probe_score("brightness").informed
    monkeypatch.setattr(made, "read", lambda *given: pytest.fail("the validation part was read again"))
    loss = LossSpec(
        name="l", summary="s", target="faceinv.attack.objective:AttributeLoss", licence="MIT", probe="brightness"
    )
    for preset in PRESETS:
        objective = prepared_objective(made, [loss], preset, {})
        assert [term.name for term in objective.terms] == ["l"]
    torch.testing.assert_close(made.error_covariance("brightness"), covariance)
