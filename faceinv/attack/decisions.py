"""A descriptor from decisions alone: whether a system takes shown images for the person.

A system that accepts from a cosine on is a linear classifier of directions, and its normal is the descriptor that it
stores. Lowd and Meek (Adversarial learning, KDD 2005) find a linear classifier from its answers: from one accepted
example, line searches towards others end on the boundary, and each end gives one equation. Here the lines run between
latents of the generator, so that every image that is shown is a face.

The first accepted image is found by showing samples of the generator. An order that covers as many other samples as
possible first, as master faces do (Shmelkin et al. 2021), was tried on photographs and found no image sooner.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from faceinv.attack.equal import HALVINGS, between, halved
from faceinv.attack.leaks import Answers, distribution, spread
from faceinv.attack.pairs import Pairs

#: Variance of an equation's error, as a share of the mean variance of a direction.
_NOISE = 1e-4


def from_decisions(answers: Answers, samples: Pairs, embed: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the directions ``(B, D)`` of length 1 that an attacker finds from decisions.

    Without an accepted image, that is the mean of the samples that no refusal rules out.

    Args:
        answers: What the system tells.
        samples: Latents and descriptors of images that may be shown.
        embed: Returns the descriptors ``(B, D)`` of the images of latents.
    """
    known = nn.functional.normalize(samples.descriptors.double())
    first = _first_accepted(answers, known)
    found = torch.zeros(len(first), known.shape[1]).to(known)
    for row in (first < 0).nonzero().flatten().tolist():
        refused = known[: int(answers.asked[row])]
        possible = (refused @ known.T < answers.threshold).all(0)
        found[row] = known[possible].mean(0) if possible.any() else known.mean(0)
    accepted = (first >= 0).nonzero().flatten()
    if len(accepted):
        found[accepted] = _searched(answers, accepted, first[accepted], samples, known, embed)
    return nn.functional.normalize(found).float()


def _first_accepted(answers: Answers, known: Tensor) -> Tensor:
    """Return the first sample that the system accepts for each descriptor ``(B,)``, −1 if none."""
    waiting = torch.arange(len(answers.left))
    first = torch.full_like(waiting, -1)
    for row in range(len(known)):
        waiting = waiting[answers.left[waiting] > 0]
        if not len(waiting):
            break
        accepted = answers.decisions(known[row].expand(len(waiting), -1), waiting)
        first[waiting[accepted]] = row
        waiting = waiting[~accepted]
    return first


def _searched(
    answers: Answers, of: Tensor, first: Tensor, samples: Pairs, known: Tensor, embed: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return the directions found by line searches from each first accepted sample, ``(B, D)``.

    Args:
        answers: What the system tells.
        of: Rows of the descriptors ``(B,)``.
        first: The sample that is accepted for each.
        samples: The samples.
        known: Their directions.
        embed: Embeds the images of latents.
    """
    ends = spread(known, min(len(known), 2 * known.shape[1])).tolist()
    rows = [list[Tensor]() for _ in of]
    for end in ends:
        able = ((answers.left[of] >= HALVINGS) & (first != end)).nonzero().flatten()
        if not len(able):
            break
        start, toward = samples.latents[first[able]], samples.latents[end].expand_as(samples.latents[first[able]])
        near, far = halved(start, toward, partial(_accepted, answers, of[able], embed))
        boundary = nn.functional.normalize(embed(between(start, toward, (near + far) / 2)).double())
        # A line that never left what is accepted does not end on the boundary.
        for place, row, left in zip(able.tolist(), boundary, (far < 1).tolist(), strict=True):
            if left:
                rows[place].append(row)
    return torch.stack([_solved(own, known[start], known, answers.threshold)
                        for own, start in zip(rows, first.tolist(), strict=True)])  # fmt: skip


def _accepted(answers: Answers, of: Tensor, embed: Callable[[Tensor], Tensor], latents: Tensor) -> Tensor:
    """Return whether the system takes the images of latents for the people behind the rows ``of``."""
    return answers.decisions(embed(latents), of)


def _solved(rows: list[Tensor], first: Tensor, known: Tensor, threshold: float) -> Tensor:
    """Return the mean ``(D,)`` of directions given that their product with each row is the threshold.

    Args:
        rows: Directions on the boundary.
        first: The direction of an accepted image: the product with it is somewhat more than the threshold.
        known: Directions that show how others are distributed.
        threshold: The threshold.
    """
    mean, covariance = distribution(known)
    usual = covariance.diagonal().mean()
    seen = torch.stack([first, *rows])
    # An accepted image that is found by chance is about half of the way from the threshold to 1 at most.
    above = torch.tensor([(1 - threshold) / 6, *([0.0] * len(rows))]).to(seen)
    unsure = torch.tensor([((1 - threshold) / 6) ** 2, *([_NOISE * float(usual)] * len(rows))]).to(seen)
    gain = covariance @ seen.T
    found: Tensor = mean + gain @ torch.linalg.solve(seen @ gain + unsure.diag(), threshold + above - seen @ mean)
    return found
