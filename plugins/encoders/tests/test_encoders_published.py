"""What every encoder here must do with its published weights; each one's parity with its reference is tested apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from faceinv_encoders.plugin import faceinv_encoders
from torch import Tensor

from faceinv.contracts import EncoderSpec
from faceinv.models.loader import Encoder

pytestmark = pytest.mark.weights
SPECS = faceinv_encoders()


Draw = Callable[[EncoderSpec, int], Tensor]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_spec_describes_the_network(spec: EncoderSpec, encoder: Callable[[str], Encoder], faces: Draw) -> None:
    network = encoder(spec.architecture)
    assert network.spec == spec
    images = faces(spec, 3)
    with torch.no_grad():
        together, alone, swapped = network(images), network(images[1:2]), network(images.flip(1))
    assert together.shape == (3, spec.dim)
    torch.testing.assert_close(together[1:2], alone, atol=1e-4, rtol=1e-4)
    assert torch.cosine_similarity(swapped, together).max() < 0.995
    lengths = together.norm(dim=1)
    assert bool((lengths - 1).abs().max() < 1e-5) == spec.unit_length


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_gradient_equals_finite_differences(spec: EncoderSpec, encoder: Callable[[str], Encoder], faces: Draw) -> None:
    network = encoder(spec.name).network
    images = faces(spec, 1).requires_grad_()
    direction = torch.randn(1, spec.dim, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((network(images) * direction).sum(), images)
    step = 5e-4 * gradient / gradient.abs().max()
    with torch.no_grad():
        ahead, behind = ((network(images + sign * step) * direction).sum() for sign in (1, -1))
    assert float((gradient * step).sum()) == pytest.approx(float(ahead - behind) / 2, rel=0.05)
    assert not any(parameter.requires_grad for parameter in network.parameters())
