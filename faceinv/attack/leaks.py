"""What leaks of a descriptor, and the descriptor that an attacker completes from it.

An attacker who can run the encoder knows how descriptors are distributed: the generator's samples show it. What leaks
is a measurement of the descriptor's direction (some of its numbers, its similarity to chosen images). The attacker's
best linear guess is the mean of the distribution given the measurement. It is the least-squares solution where the
measurements determine the descriptor, and needs no other formula where they do not.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from faceinv.contracts.leaks import Leak
from faceinv.errors import PluginError

#: Samples of the generator that show an attacker how descriptors are distributed and that are shown for scores.
SAMPLES = 4000
#: Variance of a measurement's error, as a share of the mean variance of a direction: for rounding.
_NOISE = 1e-6
#: Least variance of a direction, as a share of the mean one.
_FLOOR = 1e-4


class Answers:
    """What a system tells about descriptors: it is all that an attacker gets, and every answer is counted.

    Args:
        descriptors: The descriptors ``(B, D)`` that the system stores.
        leak: What it gives away of each.
        known: Descriptors of samples ``(S, D)``; ``principal`` keeps their first axes.
    """

    def __init__(self, descriptors: Tensor, leak: Leak, known: Tensor) -> None:
        self._directions = nn.functional.normalize(descriptors.double())
        self._leak = leak
        self._rows = _rows(leak, known.double())
        #: Answers about each descriptor so far.
        self.given = 0

    def part(self) -> tuple[Tensor, Tensor]:
        """Return the rows ``(N, D)`` that the descriptors' directions are measured along, and the measurements.

        Raises:
            PluginError: if no part of the descriptor leaks.
        """
        if self._leak.kind != "dims":
            raise PluginError(f"An attack asks for a part of the descriptor, and '{self._leak}' leaks none.")
        self._count(self._leak.n)
        return self._rows, self._directions @ self._rows.T

    def codes(self) -> Tensor:
        """Return the directions ``(B, D)`` rounded to the bits that leak; see :func:`rounded_to_bits`.

        Raises:
            PluginError: if no codes leak.
        """
        if self._leak.kind != "bits":
            raise PluginError(f"An attack asks for codes, and '{self._leak}' leaks none.")
        self._count(self._directions.shape[1])
        return rounded_to_bits(self._directions, self._leak.n)

    def scores(self, shown: Tensor) -> Tensor:
        """Return the cosine of every descriptor to images of the attacker's choice, ``(B, m)``.

        Args:
            shown: Descriptors of the images, ``(m, D)``.

        Raises:
            PluginError: if no scores leak, or there would be more than the leak has.
        """
        if self._leak.kind != "scores":
            raise PluginError(f"An attack asks for scores, and '{self._leak}' leaks none.")
        self._count(len(shown))
        return self._directions @ nn.functional.normalize(shown.double()).T

    def _count(self, answers: int) -> None:
        if self.given + answers > max(self._leak.n, self._directions.shape[1] if self._leak.kind == "bits" else 0):
            raise PluginError(f"An attack asks for {self.given + answers} answers, and the leak is '{self._leak}'.")
        self.given += answers


def recovered(answers: Answers, leak: Leak, samples: Tensor) -> Tensor:
    """Return the directions ``(B, D)`` of length 1 that an attacker completes from what leaks.

    Args:
        answers: What the system tells.
        leak: What may be asked.
        samples: Descriptors of the generator's samples ``(S, D)``, which the attacker makes without asking.
    """
    known = nn.functional.normalize(samples.double())
    if leak.kind == "bits":
        found = _unrounded(answers.codes(), known, leak.n)
    elif leak.kind == "dims":
        found = completed(*answers.part(), known)
    else:
        shown = known[spread(known, leak.n)]
        found = completed(shown, answers.scores(shown), known)
    return nn.functional.normalize(found).float()


def rounded_to_bits(directions: Tensor, bits: int) -> Tensor:
    """Return directions ``(B, D)`` with each number replaced by the middle of its bin.

    Bins of equal width reach to three standard deviations, 3 / √D for a direction; one bit is the sign.
    """
    count, reach = 2**bits, 3 / math.sqrt(directions.shape[1])
    place = ((directions + reach) / (2 * reach) * count).floor().clamp(0, count - 1)
    middle: Tensor = (place + 0.5) / count * 2 * reach - reach
    return middle


def _unrounded(codes: Tensor, samples: Tensor, bits: int) -> Tensor:
    """Return the best linear guess ``(B, D)`` at rounded directions; the attacker rounds samples to learn it."""
    own = rounded_to_bits(samples, bits)
    of_codes, of_samples = own.mean(0), samples.mean(0)
    inputs, outputs = own - of_codes, samples - of_samples
    gram = inputs.T @ inputs
    gram = gram + _FLOOR * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
    found: Tensor = of_samples + (codes - of_codes) @ torch.linalg.solve(gram, inputs.T @ outputs)
    return found


def completed(rows: Tensor, measured: Tensor, samples: Tensor) -> Tensor:
    """Return the mean ``(B, D)`` of directions distributed as ``samples``, given measurements of them.

    Args:
        rows: ``(m, D)``: what is measured is the product with each of them.
        measured: ``(B, m)``.
        samples: ``(S, D)``.
    """
    mean = samples.mean(0)
    centred = samples - mean
    covariance = centred.T @ centred / len(samples)
    dim, usual = len(mean), covariance.diagonal().mean()
    # Photographs vary a little in directions in which samples do not. A large floor would throw away that an encoder's
    # numbers may depend on each other: the 192 of the default one span about 60 dimensions.
    covariance = covariance + _FLOOR * usual * torch.eye(dim).to(covariance)
    gain = covariance @ rows.T
    inner = rows @ gain + _NOISE * usual * torch.eye(len(rows)).to(covariance)
    found: Tensor = mean + (measured - rows @ mean) @ torch.linalg.solve(inner, gain.T)
    return found


def spread(samples: Tensor, n: int) -> Tensor:
    """Return the rows of ``n`` samples that tell most: each adds the most to the span of those before.

    It is a QR decomposition with column pivoting, which follows the principal axes of the samples; the samples after
    the D-th add nothing new and are taken in order.

    Args:
        samples: ``(S, D)``.
        n: At most ``S``.
    """
    residual, taken = samples - samples.mean(0), list[int]()
    energy = residual.square().sum(1)
    limit = 1e-10 * float(energy.max())
    while len(taken) < min(n, samples.shape[1]) and float(energy.max()) > limit:
        row = int(energy.argmax())
        axis = nn.functional.normalize(residual[row], dim=0)
        residual = residual - (residual @ axis)[:, None] * axis
        energy = residual.square().sum(1)
        taken.append(row)
    chosen = set(taken)
    taken += [row for row in range(len(samples)) if row not in chosen][: n - len(taken)]
    return torch.tensor(taken, dtype=torch.long)


def _rows(leak: Leak, samples: Tensor) -> Tensor:
    """Return the rows ``(N, D)`` along which a descriptor's direction leaks; none for other leaks than dims."""
    dim = samples.shape[1]
    if leak.kind != "dims":
        return samples.new_empty(0, dim)
    if leak.which == "principal":
        directions = nn.functional.normalize(samples)
        _, axes = torch.linalg.eigh(directions.T.cov())
        principal: Tensor = axes.flip(1).T[: leak.n]
        return principal
    every = torch.eye(dim).to(samples)
    if leak.which == "random":
        return every[torch.randperm(dim, generator=torch.Generator().manual_seed(0))[: leak.n]]
    return every[: leak.n]
