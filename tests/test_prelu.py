"""A PReLU without a gradient for its slopes equals PyTorch's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from faceinv.models import FrozenPReLU


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("slopes", [1, 6])
@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 5, 5)])
def test_values_and_gradients_are_pytorchs(slopes: int, shape: tuple[int, ...]) -> None:
    plain, frozen = nn.PReLU(slopes).double(), FrozenPReLU(slopes).double()
    plain.weight.data = torch.linspace(-0.5, 1.5, slopes, dtype=torch.float64)
    frozen.load_state_dict(plain.state_dict())
    x, direction = drawn(*shape).requires_grad_(), drawn(*shape)
    assert torch.equal(frozen(x), plain(x))
    assert torch.equal(frozen(x.detach()), plain(x))
    torch.testing.assert_close(*(torch.autograd.grad(layer(x), x, direction)[0] for layer in (frozen, plain)))
    assert torch.autograd.gradgradcheck(frozen, (x,), fast_mode=True)


def test_slopes_get_no_gradient() -> None:
    layer = FrozenPReLU(3)
    layer(drawn(2, 3, 4, 4).float().requires_grad_()).sum().backward()
    assert layer.weight.grad is None


def test_bf16_is_taken_as_by_pytorchs() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 9, 3), nn.PReLU(9))
    frozen = nn.Sequential(plain[0], FrozenPReLU(9))
    x = drawn(2, 3, 8, 8).float().requires_grad_()
    results = []
    for network in (plain, frozen):
        with torch.autocast("cpu", torch.bfloat16):
            result = network(x)
        (gradient,) = torch.autograd.grad(result.float().square().sum(), x)
        results.append((result, gradient))
    (expected, expected_gradient), (given, gradient) = results
    assert given.dtype == torch.bfloat16
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(given, expected)
    torch.testing.assert_close(gradient, expected_gradient, atol=0.15, rtol=0.05)
