"""Leaked descriptors brought to the lengths that the encoder gives: databases often store them at length 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from faceinv.attack.preparation import Preparation
from faceinv.errors import InputError, first_five
from faceinv.models.loader import check_descriptors
from faceinv.probes.reader import Split
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
        preparation: Its pairs show what the encoder gives.
        names: Name of each descriptor, for messages.
        say: Called with a line if lengths were changed.

    Raises:
        ShapeError: if shape or values cannot come from the encoder.
        InputError: if a row is unlike the encoder's descriptors at any length.
    """
    spec, whitening = preparation.encoder.spec, preparation.whitening
    check_descriptors(descriptors, spec)
    # Squares of very large or small numbers leave the range of float32.
    given, pairs = (each.detach().to(whitening.mean) for each in (descriptors, preparation.pairs.descriptors))
    lengths, usual = given.norm(dim=1), pairs.norm(dim=1)
    limit = _PLAUSIBLE * float(whitening(pairs[Split.of(len(pairs)).test]).norm(dim=1).max())
    lowest, highest = float(usual.min()), float(usual.max())
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
            f"lengths of {_range(usual)}, and no scaling makes them alike. They may come from another encoder, or have "
            "been rounded, such as to 8 bits, which loses what an attack reads."
        )
    say(
        f"{_counted(odd, names)} have lengths of {_range(lengths[odd])}, unlike those of '{spec.name}' "
        f"({_range(usual)}). They were scaled to {_range(given[odd].norm(dim=1))}; their directions are the same."
    )
    return given.to(descriptors.device, torch.float32)


def _likely_lengths(directions: Tensor, usual: Tensor, whitening: Whitening) -> Tensor:
    """Return the most likely length ``(B,)`` of each descriptor, given its direction.

    Where the pairs' mean is not zero, the whitened direction is about the whitened mean divided by the length. So the
    inverse length is a regression of one on the other, with the pairs' inverse lengths as the prior.
    """
    inverse = 1 / usual
    prior, certainty = inverse.mean(), 1 / inverse.var(correction=0).clamp_min((1e-6 * inverse.mean()) ** 2)
    seen, mean = directions @ whitening.matrix, whitening.mean @ whitening.matrix
    fitted = prior.expand(len(seen))
    for _ in range(3):  # the spread around the line depends on the line
        noise = (seen - fitted[:, None] * mean).square().mean(1).clamp_min(1e-30)
        fitted = (seen @ mean / noise + certainty * prior) / (mean.square().sum() / noise + certainty)
    return 1 / fitted.clamp(inverse.min(), inverse.max())


def _counted(rows: Tensor, names: Sequence[str]) -> str:
    listed = first_five(name for name, chosen in zip(names, rows.tolist(), strict=True) if chosen)
    return f"{int(rows.sum())} of {len(rows)} descriptors ({listed})"


def _range(lengths: Tensor) -> str:
    lowest, highest = f"{float(lengths.min()):.3g}", f"{float(lengths.max()):.3g}"
    return lowest if lowest == highest else f"{lowest} to {highest}"
