"""Leaked descriptors brought to the lengths that the encoder gives: databases often store them at length 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from faceinv.attack.descriptors import DescriptorStatistics
from faceinv.attack.preparation import Preparation
from faceinv.errors import InputError, first_five
from faceinv.models.loader import check_descriptors
from faceinv.probes.whitening import Whitening

#: A length is unusual beyond this factor from the range of the pairs' lengths; photographs vary more than samples.
_MARGIN = 1.25
#: The same for encoders that give a single length; half precision rounds by less.
_EXACT = 1.001
#: Largest plausible whitened length, as a multiple of the largest of held-out pairs. Photographs reach 2, in half
#: precision too; 8-bit codes of some encoders start at 60, descriptors of other encoders at 100.
_PLAUSIBLE = 8.0


def at_scale(descriptors: Tensor, preparation: Preparation, names: Sequence[str], say: Callable[[str], None]) -> Tensor:
    """Return descriptors ``(N, D)`` in which every row has a length that the encoder could have given.

    Systems that compare by cosine need the direction only and may store any length, but all that is trained on the
    encoder's descriptors depends on it.

    Args:
        descriptors: ``(N, D)``; returned as they are if their lengths are usual.
        preparation: Of the encoder that they come from.
        names: Name of each descriptor, for messages.
        say: Called with a line if lengths were changed.

    Raises:
        ShapeError: if shape or values cannot come from the encoder.
        InputError: if a row is unlike the encoder's descriptors at any length.
    """
    spec, whitening, usual = preparation.encoder.spec, preparation.whitening, preparation.descriptor_statistics
    check_descriptors(descriptors, spec)
    # Squares of very large or small numbers leave the range of float32.
    given = descriptors.detach().to(whitening.mean)
    lengths, limit = given.norm(dim=1), _PLAUSIBLE * usual.whitened
    lowest, highest = usual.shortest, usual.longest
    if highest < _EXACT * lowest:
        odd = (lengths < lowest / _EXACT) | (lengths > highest * _EXACT)
    else:
        odd = (lengths < lowest / _MARGIN) | (lengths > highest * _MARGIN) | ((lengths - 1).abs() < _EXACT - 1)
    odd |= whitening(given).norm(dim=1) > limit
    if not odd.any():
        return descriptors
    directions = given[odd] / lengths[odd, None]
    given[odd] = directions * _likely_lengths(directions, usual, whitening)[:, None]
    far = whitening(given).norm(dim=1) > limit
    if far.any():
        raise InputError(
            f"{_counted(far, names)} of length {_range(lengths[far])} are unlike those of '{spec.name}', which have "
            f"lengths of {_from_to(lowest, highest)}, and no scaling makes them alike. They may come from another "
            "encoder, or have been rounded, such as to 8 bits, which loses what an attack reads."
        )
    say(
        f"{_counted(odd, names)} have lengths of {_range(lengths[odd])}, unlike those of '{spec.name}' "
        f"({_from_to(lowest, highest)}). They were scaled to {_range(given[odd].norm(dim=1))}; their directions are "
        "the same."
    )
    return given.to(descriptors.device, torch.float32)


def at_likely_length(directions: Tensor, preparation: Preparation) -> Tensor:
    """Return descriptors ``(N, D)`` in these ``directions``, of length 1, at the lengths that the encoder likely gives.

    Args:
        directions: ``(N, D)``, however unlike the encoder's own they are.
        preparation: Of the encoder.
    """
    given = directions.to(preparation.whitening.mean)
    lengths = _likely_lengths(given, preparation.descriptor_statistics, preparation.whitening)
    return (given * lengths[:, None]).to(directions.device, torch.float32)


def _likely_lengths(directions: Tensor, usual: DescriptorStatistics, whitening: Whitening) -> Tensor:
    """Return the most likely length ``(B,)`` of each descriptor, given its direction.

    Where the pairs' mean is not zero, the whitened direction is about the whitened mean divided by the length. So the
    inverse length is a regression of one on the other, with the pairs' inverse lengths as the prior.
    """
    prior = usual.inverse_mean
    certainty = 1 / max(usual.inverse_variance, (1e-6 * prior) ** 2)
    seen, mean = directions @ whitening.matrix, whitening.mean @ whitening.matrix
    fitted = torch.full_like(seen[:, 0], prior)
    for _ in range(3):  # the spread around the line depends on the line
        noise = (seen - fitted[:, None] * mean).square().mean(1).clamp_min(1e-30)
        fitted = (seen @ mean / noise + certainty * prior) / (mean.square().sum() / noise + certainty)
    return 1 / fitted.clamp(1 / usual.longest, 1 / usual.shortest)


def _counted(rows: Tensor, names: Sequence[str]) -> str:
    listed = first_five(name for name, chosen in zip(names, rows.tolist(), strict=True) if chosen)
    return f"{int(rows.sum())} of {len(rows)} descriptors ({listed})"


def _range(lengths: Tensor) -> str:
    return _from_to(float(lengths.min()), float(lengths.max()))


def _from_to(lowest: float, highest: float) -> str:
    low, high = f"{lowest:.3g}", f"{highest:.3g}"
    return low if low == high else f"{low} to {high}"
