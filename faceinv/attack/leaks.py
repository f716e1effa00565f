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

from faceinv.attack.views import View
from faceinv.contracts.leaks import Leak
from faceinv.errors import InputError, PluginError

#: Samples of the generator that show an attacker how descriptors are distributed and that are shown for scores.
SAMPLES = 4000
#: Variance of a measurement's error, as a share of the mean variance of a direction: answers are numbers in float32.
_NOISE = 1e-13
#: Least variance of a direction, as a share of the mean one. With a higher one, directions that samples rule out
#: take part in explaining a measurement: at 1e-4, a completed descriptor is off by ten times the spread of the faint
#: axes, which tell pose and smile.
_FLOOR = 1e-8


class Answers:
    """What a system tells about descriptors: it is all that an attacker gets, and every answer is counted.

    Args:
        descriptors: The descriptors ``(B, D)`` that the system stores.
        leak: What it gives away of each.
        view: The part that leaks, for ``dims`` and ``bits``.
        threshold: Cosine from which the system accepts an image, for ``decisions``.
    """

    def __init__(
        self, descriptors: Tensor, leak: Leak, *, view: View | None = None, threshold: float = math.nan
    ) -> None:
        self._directions = nn.functional.normalize(descriptors.double())
        self._leak, self._view, self._threshold = leak, view, threshold
        #: Answers about each descriptor so far, ``(B,)``.
        self.asked = torch.zeros(len(descriptors), dtype=torch.long)
        #: Whether an image was taken for the person of each descriptor, ``(B,)``.
        self.entered = torch.zeros(len(descriptors), dtype=torch.bool)

    @property
    def threshold(self) -> float:
        """Cosine from which the system accepts an image; a deployed system states it, or its false match rate."""
        return self._threshold

    @property
    def left(self) -> Tensor:
        """Answers that may still be asked for about each descriptor, ``(B,)``."""
        return self._most - self.asked

    @property
    def _most(self) -> int:
        return self._directions.shape[1] if self._leak.kind == "bits" else self._leak.n

    def part(self) -> Tensor:
        """Return the part of every descriptor that leaks, ``(B, N)``.

        Raises:
            PluginError: if no part leaks, or it was asked for before.
        """
        if self._view is None or self._leak.kind not in ("dims", "bits"):
            raise PluginError(f"An attack asks for a part of the descriptor, and '{self._leak}' leaks none.")
        self._count(self._view.dim)
        part: Tensor = self._view(self._directions)
        return _stated(part)

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
        return _stated(self._directions @ nn.functional.normalize(shown.double()).T)

    def decisions(self, shown: Tensor, of: Tensor) -> Tensor:
        """Return whether the system takes images of the attacker's choice for the person, ``(m,)`` bool.

        Args:
            shown: Descriptors of the images, ``(m, D)``.
            of: ``(m,)``: the row of the descriptor that each image is compared with.

        Raises:
            PluginError: if no decisions leak, or there would be more than the leak has.
        """
        if self._leak.kind != "decisions":
            raise PluginError(f"An attack asks for decisions, and '{self._leak}' leaks none.")
        self._count(torch.bincount(of, minlength=len(self._directions)))
        cosines = (self._directions[of] * nn.functional.normalize(shown.double())).sum(1)
        accepted = cosines >= self._threshold
        self.entered[of[accepted]] = True
        return accepted

    def _count(self, answers: int | Tensor) -> None:
        wanted = self.asked + answers
        if int(wanted.max()) > self._most:
            raise PluginError(f"An attack asks for {int(wanted.max())} answers, and the leak is '{self._leak}'.")
        self.asked = wanted


def _stated(numbers: Tensor) -> Tensor:
    """Return numbers as a system states them, in float32."""
    return numbers.float().double()


def completed_view(view: View, part: Tensor, samples: Tensor) -> Tensor:
    """Return the directions ``(B, D)`` of length 1 that an attacker completes from the part ``(B, N)`` that leaks.

    Args:
        view: What leaks.
        part: The part that leaked.
        samples: Descriptors ``(S, D)`` that show how whole ones are distributed.
    """
    known = nn.functional.normalize(samples.double())
    found = _unrounded(view, part, known) if view.leak.kind == "bits" else completed(view.rows, part, known)
    return nn.functional.normalize(found).float()


def from_scores(answers: Answers, n: int, samples: Tensor) -> Tensor:
    """Return the directions ``(B, D)`` of length 1 that an attacker finds from scores.

    Args:
        answers: What the system tells.
        n: How many scores may be asked for.
        samples: Descriptors ``(S, D)`` of the images that may be shown, which the attacker has without asking.

    Raises:
        InputError: if there are fewer images than scores.
    """
    if n > len(samples):
        raise InputError(f"--leak scores:{n}: the attacker has only {len(samples)} images to show (--pairs).")
    known = nn.functional.normalize(samples.double())
    shown = known[spread(known, n)]
    return nn.functional.normalize(completed(shown, answers.scores(shown), known)).float()


def _unrounded(view: View, codes: Tensor, samples: Tensor) -> Tensor:
    """Return the best linear guess ``(B, D)`` at rounded directions; the attacker rounds samples to learn it."""
    own = view(samples)
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
    mean, covariance = distribution(samples)
    gain = covariance @ rows.T
    inner = rows @ gain + _NOISE * covariance.diagonal().mean() * torch.eye(len(rows)).to(covariance)
    found: Tensor = mean + (measured - rows @ mean) @ torch.linalg.solve(inner, gain.T)
    return found


def distribution(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean ``(D,)`` and covariance ``(D, D)`` of directions distributed as ``samples`` ``(S, D)``.

    Photographs vary a little in directions in which samples do not, so every direction gets a floor. It is low because
    an encoder's numbers may depend on each other: the 192 of the default one span about 60 dimensions.
    """
    mean = samples.mean(0)
    centred = samples - mean
    covariance = centred.T @ centred / len(samples)
    return mean, covariance + _FLOOR * covariance.diagonal().mean() * torch.eye(len(mean)).to(covariance)


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
