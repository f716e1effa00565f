"""Frozen layers against the layers they replace."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from faceinv.models import freeze
from faceinv.models.frozen import FrozenConvolution, FrozenPReLU

CONVOLUTIONS = {
    "3x3": lambda: nn.Conv2d(4, 6, 3, 1, 1),
    "1x1": lambda: nn.Conv2d(4, 6, 1, bias=False),
    "padded further than its kernel reaches": lambda: nn.Conv2d(4, 6, 1, 1, 2),
    "strided": lambda: nn.Conv2d(9, 6, 3, 2, 1),
    "strided, of few channels": lambda: nn.Conv2d(3, 6, 3, 2, 0),
    "strided beyond its padding": lambda: nn.Conv2d(3, 6, 3, 4, 0),
    "of a large kernel": lambda: nn.Conv2d(3, 6, 7, 4, 3),
    "depthwise": lambda: nn.Conv2d(6, 6, 3, 1, 1, groups=6),
    "depthwise, strided": lambda: nn.Conv2d(6, 6, 4, 2, 1, groups=6),
    "over the whole map": lambda: nn.Conv2d(6, 6, 9, groups=6),
    "transposed": lambda: nn.ConvTranspose2d(5, 9, 4, 2, 1),
    "transposed, to few channels": lambda: nn.ConvTranspose2d(5, 3, 4, 2, 1),
    "transposed, of an odd stride": lambda: nn.ConvTranspose2d(5, 2, 5, 3, 1),
    "transposed, without stride": lambda: nn.ConvTranspose2d(5, 9, 4, bias=False),
}


def made(name: str, dtype: torch.dtype) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return CONVOLUTIONS[name]().to(dtype)


def drawn(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("side", [9, 10])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-13), (torch.float32, 2e-5)])
def test_same_result_and_gradient(
    name: str, side: int, layout: torch.memory_format, dtype: torch.dtype, error: float
) -> None:
    plain = made(name, dtype).to(memory_format=layout)
    frozen = freeze(nn.Sequential(copy.deepcopy(plain)))
    assert isinstance(frozen[0], FrozenConvolution)  # type: ignore[index]
    for batch in (1, 3):
        x = drawn(batch, int(plain.in_channels), side, side)
        x = x.to(dtype).contiguous(memory_format=layout).requires_grad_()
        expected, given = plain(x), frozen(x)
        torch.testing.assert_close(given, expected, atol=error, rtol=error)
        direction = drawn(*expected.shape, dtype=dtype)
        (due,) = torch.autograd.grad(expected, x, direction)
        (got,) = torch.autograd.grad(given, x, direction)
        assert due.norm() > 0
        torch.testing.assert_close(got, due, atol=error, rtol=error)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_gradients_of_first_and_second_order(name: str) -> None:
    frozen = freeze(nn.Sequential(made(name, torch.float64), nn.Tanh()))
    x = drawn(1, int(made(name, torch.float64).in_channels), 9, 9, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(frozen, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(frozen, (x,), fast_mode=True)


@pytest.mark.parametrize("slopes", [1, 6])
@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 5, 5)])
def test_prelu(slopes: int, shape: tuple[int, ...]) -> None:
    plain = nn.PReLU(slopes).double()
    plain.weight.data = torch.linspace(-0.5, 1.5, slopes, dtype=torch.float64)
    frozen = freeze(nn.Sequential(copy.deepcopy(plain)))
    assert isinstance(frozen[0], FrozenPReLU)  # type: ignore[index]
    x = drawn(*shape, dtype=torch.float64).requires_grad_()
    assert torch.equal(frozen(x), plain(x))
    direction = drawn(*shape, dtype=torch.float64)
    torch.testing.assert_close(*(torch.autograd.grad(layer(x), x, direction)[0] for layer in (frozen, plain)))
    assert torch.autograd.gradgradcheck(frozen, (x,), fast_mode=True)


def test_parameters_keep_their_names_and_ask_for_nothing() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.PReLU(4), nn.BatchNorm2d(4)))
    before = network.state_dict()
    frozen = freeze(network)
    assert frozen is network
    assert frozen.state_dict().keys() == before.keys()
    assert all(tensor.data_ptr() == before[name].data_ptr() for name, tensor in frozen.state_dict().items())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    x = drawn(2, 3, 8, 8).requires_grad_()
    frozen.eval()(x).sum().backward()
    assert all(parameter.grad is None for parameter in frozen.parameters())


def test_layers_without_a_counterpart_stay() -> None:
    class Own(nn.Conv2d):
        pass

    layers = [
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 8, 3, groups=4),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, (1, 3)),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1),
        Own(4, 4, 3),
    ]
    assert list(freeze(nn.Sequential(*layers))) == layers


def test_follows_its_weights_to_another_type_and_into_a_new_state() -> None:
    frozen = freeze(nn.Sequential(made("strided, of few channels", torch.float32)))
    x = drawn(2, 3, 9, 9).requires_grad_()
    (single,) = torch.autograd.grad(frozen(x).sum(), x)
    exact = x.detach().double().requires_grad_()
    (double,) = torch.autograd.grad(frozen.double()(exact).sum(), exact)
    torch.testing.assert_close(single.double(), double, atol=1e-5, rtol=1e-5)
    frozen.load_state_dict({name: 2 * tensor for name, tensor in frozen.state_dict().items()})
    (doubled,) = torch.autograd.grad(frozen(exact).sum(), exact)
    torch.testing.assert_close(doubled, 2 * double)


def test_an_empty_batch() -> None:
    frozen = freeze(nn.Sequential(nn.Conv2d(3, 4, 3)))
    assert frozen(torch.empty(0, 3, 8, 8)).shape == (0, 4, 6, 6)
