"""The histogram probe, its metric and losses."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from faceinv_histogram.kornia_measure import histogram
from faceinv_histogram.probe import (
    HistogramProbe,
    earth_movers_distance,
    hard_histogram,
    nearest_histogram,
)
from hypothesis import given, settings, strategies as st
from torch import Tensor

from faceinv.contracts import Framing
from faceinv.errors import ShapeError
from faceinv.plugins import Host
from faceinv.plugins.registry import load_target

FRAMING = Framing(name="test", size=(16, 16), points=((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.4, 0.8), (0.6, 0.8)))


@pytest.fixture(scope="module")
def probe() -> HistogramProbe:
    spec = Host().spec("probe", "histogram")
    built = load_target(spec)(framing=FRAMING, **spec.options)
    assert isinstance(built, HistogramProbe)
    return built


def random_images(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_labels_are_numpys_histogram_of_8_bit_levels(probe: HistogramProbe) -> None:
    # Includes every level, also those on a bin's edge (0, 51, 102, …, 255).
    levels = np.random.default_rng(0).permutation(np.arange(768) % 256).reshape(1, 3, 16, 16)
    got = probe.label(torch.from_numpy(levels / 255).float())
    for channel in range(3):
        expected, _ = np.histogram(levels[0, channel], bins=10, range=(0, 255))
        np.testing.assert_allclose(got[0, channel].numpy() * 256, expected)


def test_labels_round_to_8_bits_and_clip() -> None:
    # 25.4 rounds to level 25, in the first bin; 25.6 to 26, in the second.
    images = torch.tensor([25.4, 25.6, -40.0, 300.0]).div(255).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    assert hard_histogram(images)[0, 0].tolist() == [0.5, 0.25, 0, 0, 0, 0, 0, 0, 0, 0.25]


def test_measure_is_near_the_label_and_differentiable(probe: HistogramProbe) -> None:
    images = random_images(1, 4, 3, 16, 16).requires_grad_()
    measured = probe.measure(images)
    assert measured.shape == probe.label(images).shape == (4, *probe.shape)
    assert probe.error(measured, probe.label(images)).max() < 0.3
    measured[:, :, 3].sum().backward()
    assert images.grad is not None
    assert (images.grad.flatten(1).norm(dim=1) > 0).all()


def test_earth_movers_distance_counts_mass_times_bins() -> None:
    histograms = torch.eye(10)
    black, white = histograms[0].expand(1, 3, 10), histograms[9].expand(1, 3, 10)
    assert earth_movers_distance(black, white).item() == pytest.approx(27)
    assert earth_movers_distance(black, black).item() == 0
    half = (histograms[2] + histograms[4]).div(2).expand(1, 3, 10)
    assert earth_movers_distance(half, histograms[3].expand(1, 3, 10)).item() == pytest.approx(3)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.floats(0, 1), min_size=10, max_size=10), min_size=9, max_size=9))
def test_earth_movers_distance_is_a_metric_within_its_bounds(rows: list[list[float]]) -> None:
    a, b, c = (torch.tensor(rows, dtype=torch.float64) + 1e-3).unflatten(0, (3, 1, 3))
    a, b, c = (x / x.sum(2, keepdim=True) for x in (a, b, c))
    ab, ba, bc, ac = (earth_movers_distance(*pair).item() for pair in ((a, b), (b, a), (b, c), (a, c)))
    assert ab == pytest.approx(ba)
    assert 0 <= ab <= 27
    assert ac <= ab + bc + 1e-9


def test_earth_movers_distance_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(3)
    a, b = rng.dirichlet(np.ones(10), 3), rng.dirichlet(np.ones(10), 3)
    expected = sum(stats.wasserstein_distance(np.arange(10), np.arange(10), p, q) for p, q in zip(a, b, strict=True))
    got = earth_movers_distance(torch.from_numpy(a)[None], torch.from_numpy(b)[None])
    assert got.item() == pytest.approx(expected)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-5, 5), min_size=10, max_size=10), st.integers(0, 1000))
def test_nearest_histogram_is_valid_and_nearest(raw: list[float], seed: int) -> None:
    given_raw = torch.tensor(raw, dtype=torch.float64)
    histogram = nearest_histogram(given_raw)
    assert histogram.min() >= 0
    assert histogram.sum().item() == pytest.approx(1)
    other = torch.rand(10, generator=torch.Generator().manual_seed(seed)).double() ** 3
    other /= other.sum()
    # Projection onto a convex set: the direction to any other point of the set is at an obtuse angle.
    assert ((given_raw - histogram) * (other - histogram)).sum().item() <= 1e-9
    torch.testing.assert_close(nearest_histogram(histogram), histogram)


def test_constrain_gives_histograms_and_is_differentiable(probe: HistogramProbe) -> None:
    raw = (random_images(2, 5, 30) - 0.3).requires_grad_()
    constrained = probe.constrain(raw)
    assert constrained.shape == (5, 3, 10)
    assert constrained.min() >= 0
    torch.testing.assert_close(constrained.sum(2), torch.ones(5, 3))
    constrained.square().sum().backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()
    assert raw.grad.abs().sum() > 0


def test_the_papers_head_is_as_small_as_the_paper_says(probe: HistogramProbe) -> None:
    head = probe.paper_head(192)
    assert sum(p.numel() for p in head.parameters()) == (192 * 8 + 8) + (8 * 8 + 8) + (8 * 30 + 30)
    output = head(torch.randn(4, 192, generator=torch.Generator().manual_seed(0)))
    assert output.shape == (4, 30)
    torch.testing.assert_close(output.view(4, 3, 10).sum(2), torch.ones(4, 3))
    torch.testing.assert_close(probe.constrain(output), output.view(4, 3, 10))
    recipe = probe.paper_recipe()
    assert (recipe.optimizer, recipe.learning_rate, recipe.batch_size, recipe.epochs) == ("adam", 1e-6, 32, 20)


def test_metric_tells_a_good_reconstruction_from_a_bad_one() -> None:
    spec = Host().spec("metric", "histogram_emd")
    metric = load_target(spec)(framing=FRAMING, **spec.options)
    target = random_images(4, 3, 3, 16, 16)
    black, white = torch.zeros(3, 3, 16, 16), torch.ones(3, 3, 16, 16)
    same = metric(SimpleNamespace(target=target, reconstruction=target))
    near = metric(SimpleNamespace(target=target, reconstruction=target * 0.9))
    far = metric(SimpleNamespace(target=target, reconstruction=black))
    most = metric(SimpleNamespace(target=white, reconstruction=black))
    assert torch.equal(same, torch.zeros(3))
    assert (near > same).all()
    assert (far > near).all()
    torch.testing.assert_close(most, torch.full((3,), spec.bounds[1]))
    assert not spec.higher_is_better


def test_losses_name_the_probe_and_their_weights() -> None:
    host = Host()
    for name in ("hist", "hist-kornia"):
        spec = host.spec("loss", name)
        assert spec.probe == "histogram"
        assert spec.preset_weights == {"paper": 0.01, "balanced": 0.1}
        assert callable(load_target(spec))


def test_kornias_measure_is_a_histogram_close_to_ours(probe: HistogramProbe) -> None:
    images = random_images(5, 2, 3, 32, 32).requires_grad_()
    measured = histogram(images)
    torch.testing.assert_close(measured.sum(2), torch.ones(2, 3))
    assert probe.error(measured, probe.label(images)).max() < 0.5
    measured[0, 1, 4].backward()
    assert images.grad is not None
    assert images.grad[0, 1].abs().sum() > 0
    assert images.grad[0, 0].abs().sum() == 0
    with pytest.raises(ShapeError):
        histogram(torch.zeros(3, 4, 4))


def test_declaring_imports_no_torch() -> None:
    calls = "p.faceinv_probes(); p.faceinv_losses(); p.faceinv_metrics()"
    code = f"import sys, faceinv_histogram.plugin as p; {calls}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
