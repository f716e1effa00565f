"""Descriptors of another scale than the encoder's: scaled where the direction allows it, refused otherwise."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from faceinv.attack.descriptors import DescriptorStatistics
from faceinv.attack.scale import at_scale
from faceinv.errors import InputError, ShapeError
from faceinv.probes.whitening import Whitening

DIM, N = 24, 600


def samples(n: int, seed: int, *, unit: bool, centred: bool) -> Tensor:
    """Descriptors of a made-up encoder; half of their axes vary a thousandth as much as the others."""
    draw = torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed))
    rows = draw * torch.tensor([10.0, 0.01]).repeat(DIM // 2) + (0.0 if centred else 5.0)
    return torch.nn.functional.normalize(rows) if unit else rows


def preparation(**kind: bool) -> Any:
    pairs = samples(N, 0, **kind)
    spec = SimpleNamespace(name="net", dim=DIM)
    whitening = Whitening.fitted(pairs, torch.arange(N * 8 // 10))
    return SimpleNamespace(
        encoder=SimpleNamespace(spec=spec),
        descriptor_statistics=DescriptorStatistics.of(pairs, whitening),
        whitening=whitening,
    )


KINDS = [{"unit": unit, "centred": centred} for unit in (False, True) for centred in (False, True)]
NAMES = ["a", "b", "c"]


def silent(text: str) -> None:
    raise AssertionError(text)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_encoder_gives_stays_as_it_is(kind: dict[str, bool]) -> None:
    given = samples(3, 1, **kind)
    assert at_scale(given, preparation(**kind), NAMES, silent) is given
    assert at_scale(given.half(), preparation(**kind), NAMES, silent).dtype == torch.half


@pytest.mark.parametrize("factor", [None, 20.0, 1e-2, 1e30, 1e-30])
@pytest.mark.parametrize("kind", KINDS)
def test_another_length_becomes_the_encoders(kind: dict[str, bool], factor: float | None) -> None:
    given, heard = samples(3, 1, **kind), []
    other = given.clone()
    other[1] = given[1] / given[1].norm() if factor is None else given[1] * factor
    if kind["unit"] and factor is None:
        return
    scaled = at_scale(other, preparation(**kind), NAMES, heard.append)
    assert torch.equal(scaled[::2], given[::2])
    torch.testing.assert_close(scaled[1] / scaled[1].norm(), given[1] / given[1].norm())
    # Without a mean, a direction does not tell the length; the usual one is taken.
    least = 0.99 if kind["unit"] or not kind["centred"] else 0.5
    assert least < scaled[1].norm() / given[1].norm() < 1 / least
    assert len(heard) == 1
    assert heard[0].startswith("1 of 3 descriptors (b) have lengths of ")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_unlike_the_encoders_at_any_length_is_refused(kind: dict[str, bool]) -> None:
    given = samples(3, 1, **kind)
    with pytest.raises(InputError, match=r"3 of 3 descriptors \(a, b, c\) of length .* 'net'.*no scaling"):
        at_scale(given.roll(1, 1), preparation(**kind), NAMES, silent)
    with pytest.raises(ShapeError, match="NaN"):
        at_scale(given * float("nan"), preparation(**kind), NAMES, silent)
