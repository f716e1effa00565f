"""Folding normalisations changes no output."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from faceinv.models import affine_of, fold_norm, fold_norm_before


def norm(kind: type, channels: int, *, affine: bool = True) -> nn.Module:
    made = kind(channels, eps=1e-3, affine=affine).double().eval()
    rng = torch.Generator().manual_seed(channels)
    for name, tensor in made.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.rand(tensor.shape, generator=rng, dtype=tensor.dtype)
            tensor.copy_(drawn + 0.2 if name == "running_var" else drawn * 2 - 1)
    return made


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_convolution(bias: bool, affine: bool) -> None:
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=bias).double()
    batch = norm(nn.BatchNorm2d, 6, affine=affine)
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    expected = batch(conv(x))
    assert not torch.allclose(conv(x), expected)
    torch.testing.assert_close(fold_norm(conv, batch)(x), expected, atol=1e-12, rtol=1e-12)
    assert not any(parameter.requires_grad for parameter in conv.parameters())


@pytest.mark.parametrize("bias", [True, False])
def test_dense_layer_and_what_follows_it(bias: bool) -> None:
    dense, batch = nn.Linear(5, 7, bias=bias).double(), norm(nn.BatchNorm1d, 7)
    x = torch.randn(3, 5, dtype=torch.float64)
    expected = batch(dense(x))
    torch.testing.assert_close(fold_norm(dense, batch)(x), expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_map_that_is_flattened_before_a_dense_layer(bias: bool) -> None:
    dense, batch = nn.Linear(4 * 6, 5, bias=bias).double(), norm(nn.BatchNorm2d, 4)
    x = torch.randn(3, 4, 2, 3, dtype=torch.float64)
    expected = dense(batch(x).flatten(1))
    torch.testing.assert_close(fold_norm_before(batch, dense)(x.flatten(1)), expected, atol=1e-12, rtol=1e-12)


def test_scale_and_shift() -> None:
    batch = norm(nn.BatchNorm1d, 3)
    scale, shift = affine_of(batch)
    x = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(scale * x + shift, batch(x), atol=1e-12, rtol=1e-12)


def test_batch_statistics_cannot_be_folded() -> None:
    with pytest.raises(ValueError, match="running statistics"):
        fold_norm(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False))
