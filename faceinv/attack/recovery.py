"""Descriptors recovered from protected templates: least squares, descent from guesses, and a map learnt from pairs.

Each takes the attacker's prior, descriptors of other faces: what a template leaves open is filled in with what is
likely among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from faceinv.contracts.protections import Leak, Recovered

#: Guesses per target, and iterations of L-BFGS for all of them.
GUESSES, ITERATIONS = 4, 100
#: Penalties that the learnt map chooses from, as shares of the mean variance of a number of a template.
_PENALTIES = tuple(10.0**power for power in range(-6, 4))
#: Share of the pairs that the penalty is chosen on.
_HELD_OUT = 0.1


@dataclass(frozen=True)
class Spread:
    """Mean and principal axes of descriptors: ``mean + axes @ z`` is as likely as ``z`` is under a standard normal.

    Args:
        mean: ``(D,)``.
        axes: ``(D, D)``.
    """

    mean: Tensor
    axes: Tensor

    @cached_property
    def _inverse(self) -> Tensor:
        inverse: Tensor = torch.linalg.inv(self.axes)
        return inverse.T

    @classmethod
    def of(cls, prior: Tensor, least: float = 1e-4) -> Spread:
        """Return the spread of ``prior`` ``(P, D)``; each axis has at least the share ``least`` of the mean variance.

        Fewer faces than axes, or faces that do not reach some of them, must not make a descriptor impossible.
        """
        mean = prior.double().mean(0)
        centred = prior.double() - mean
        variances, directions = torch.linalg.eigh(centred.T @ centred / max(1, len(prior) - 1))
        floor = least * variances.clamp_min(0).mean() + 1e-12
        return cls(mean, directions * variances.clamp_min(floor).sqrt())

    def coordinates(self, descriptors: Tensor) -> Tensor:
        """Return ``z`` ``(N, D)`` of descriptors ``(N, D)``."""
        return (descriptors.double() - self.mean) @ self._inverse

    def descriptors(self, coordinates: Tensor) -> Tensor:
        """Return the descriptors ``(N, D)``, of length 1, at ``z`` ``(N, D)``."""
        return nn.functional.normalize(self.mean + coordinates @ self.axes.T)


def least_squares(matrices: Sequence[Tensor], templates: Sequence[Tensor], prior: Tensor) -> Recovered:
    """Return the most likely descriptors given ``t = A x`` for one or several ``A``.

    Exact where the rows of all ``A`` together span the space; elsewhere the expected rest given the prior's mean and
    covariance, which is closer than the shortest solution.

    Args:
        matrices: Each ``A``, ``(M, D)``.
        templates: The templates ``(N, M)`` of each.
        prior: Descriptors ``(P, D)`` of other faces.
    """
    spread = Spread.of(prior)
    matrix, known = torch.cat(list(matrices)).double(), torch.cat(list(templates), 1).double()
    through = matrix @ spread.axes
    rest = known - spread.mean @ matrix.T
    # The smallest penalty that keeps the system solvable: templates are stored in single precision.
    gram = through @ through.T
    gram += 1e-7 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    found = spread.descriptors(torch.linalg.solve(gram, rest.T).T @ through)
    return Recovered(found.to(prior), "least squares", {"templates": len(matrices)})


def by_descent(
    misfit: Callable[[Tensor, Tensor, int], Tensor],
    leaks: Sequence[Leak],
    prior: Tensor,
    what: str,
    *,
    starts: Sequence[Tensor] = (),
    guesses: int = GUESSES,
    iterations: int = ITERATIONS,
) -> Recovered:
    """Return the descriptors that minimise a misfit, by L-BFGS from descriptors of other faces.

    The misfit is a negative log-likelihood, so that together with the prior's, half of the squared whitened length, the
    result is the most likely descriptor.

    Args:
        misfit: Maps descriptors ``(B, D)``, templates ``(B, M)`` and the key to the misfit ``(B,)``; differentiable.
        leaks: Templates of the same ``N`` people, each under another key.
        prior: Descriptors ``(P, D)`` of other faces.
        what: What is minimised, in words.
        starts: Further starts, each ``(N, D)``, such as what :func:`from_pairs` answers.
        guesses: Starts of each target, drawn from the prior.
        iterations: Iterations of L-BFGS.
    """
    spread, n = Spread.of(prior), len(leaks[0].templates)
    first = _guessed(n, guesses, starts, prior)
    guesses = first.shape[1]
    state = spread.coordinates(first.flatten(0, 1)).requires_grad_(True)

    def total(z: Tensor) -> Tensor:
        found = spread.descriptors(z)
        parts = [
            misfit(found, leak.templates.double().repeat_interleave(guesses, 0), leak.key) for leak in leaks
        ]  # fmt: skip
        # Of the descriptor as it is, of length 1: a shorter z may stand for the same one.
        return torch.stack(parts).sum(0) + spread.coordinates(found).square().sum(1) / 2

    optimiser = torch.optim.LBFGS([state], max_iter=iterations, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = total(state).sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(closure)
    with torch.no_grad():
        best = total(state).nan_to_num(nan=torch.inf).view(n, guesses).argmin(1)
        found = spread.descriptors(state).view(n, guesses, -1)[torch.arange(n), best]
    budget = {"guesses": guesses, "iterations": iterations, "templates": len(leaks)}
    return Recovered(found.to(prior), f"L-BFGS on {what}", budget)


def _guessed(n: int, guesses: int, starts: Sequence[Tensor], prior: Tensor) -> Tensor:
    """Return the directions ``(n, K, D)`` that a search begins at: the given starts, then other faces at random."""
    rows = torch.randint(len(prior), (n, guesses), generator=torch.Generator().manual_seed(0))
    every = torch.cat([*(start[:, None].to(prior) for start in starts), prior[rows]], 1)
    return nn.functional.normalize(every, dim=2)


def from_pairs(known: Tensor, prior: Tensor, templates: Tensor) -> Recovered:
    """Return descriptors by a linear map learnt from pairs of template and descriptor (ridge regression).

    The penalty is the one that does best on a tenth of the pairs.

    Args:
        known: Templates ``(P, M)`` of the attacker's own faces.
        prior: Their descriptors ``(P, D)``.
        templates: The leaked templates ``(N, M)``.
    """
    inputs, outputs = known.double(), prior.double()
    first = len(prior) - max(1, int(_HELD_OUT * len(prior)))
    mean, centre = inputs[:first].mean(0), outputs[:first].mean(0)
    centred = inputs[:first] - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / first)
    values, scale = values.clamp_min(0), values.clamp_min(0).mean() + 1e-12
    rotated = vectors.T @ (centred.T @ (outputs[:first] - centre) / first)

    def answer(given: Tensor, penalty: float) -> Tensor:
        weights = rotated / (values + penalty * scale)[:, None]
        return nn.functional.normalize(centre + (given.double() - mean) @ vectors @ weights)

    held = nn.functional.normalize(outputs[first:])
    best = max(_PENALTIES, key=lambda penalty: float((answer(inputs[first:], penalty) * held).sum(1).mean()))
    return Recovered(answer(templates, best).to(prior), "a linear map learnt from pairs", {"pairs": len(prior)})


def by_least_squares(
    values: Callable[[Tensor, int], Tensor],
    leaks: Sequence[Leak],
    prior: Tensor,
    what: str,
    *,
    starts: Sequence[Tensor] = (),
    guesses: int = GUESSES,
    iterations: int = 20,
    weight: float = 1e5,
) -> Recovered:
    """Return the descriptors that minimise squared residuals, by Levenberg and Marquardt from other faces' descriptors.

    The prior's half squared whitened length is added, as in :func:`by_descent`.

    Args:
        values: Maps descriptors ``(B, D)`` and the key to templates ``(B, M)``; differentiable, row by row.
        leaks: Templates of the same ``N`` people, each under another key.
        prior: Descriptors ``(P, D)`` of other faces.
        what: What is minimised, in words.
        starts: Further starts, each ``(N, D)``.
        guesses: Starts of each target, drawn from the prior.
        iterations: Steps, each with one system of equations.
        weight: Weight of the residuals, relative to a template's length, against the prior.
    """
    spread, n = Spread.of(prior), len(leaks[0].templates)
    first = _guessed(n, guesses, starts, prior)
    guesses = first.shape[1]
    z = spread.coordinates(first.flatten(0, 1))
    known = torch.cat([leak.templates.double() for leak in leaks], 1)
    scale = weight**0.5 / known.norm(dim=1).mean()
    known = known.repeat_interleave(guesses, 0)

    def templates(z: Tensor) -> Tensor:
        found = spread.descriptors(z)
        return torch.cat([values(found, leak.key) for leak in leaks], 1)

    def one(z: Tensor) -> Tensor:
        return templates(z[None]).flatten()

    def total(z: Tensor) -> Tensor:
        value: Tensor = ((scale * (templates(z) - known)).square().sum(1) + z.square().sum(1)) / 2
        return value

    # Whatever a scheme draws from its key is the same for all rows.
    slope = torch.func.vmap(torch.func.jacrev(one), chunk_size=32, randomness="same")
    identity = torch.eye(z.shape[1], dtype=z.dtype)
    damping, least = torch.ones(len(z), dtype=z.dtype), total(z)
    for _ in range(iterations):
        jacobian = scale * slope(z)
        rest = (jacobian.mT @ (scale * (templates(z) - known))[:, :, None]).squeeze(2) + z
        step = torch.linalg.solve(jacobian.mT @ jacobian + (1 + damping)[:, None, None] * identity, rest)
        value = total(z - step)
        better = value < least
        z, least = torch.where(better[:, None], z - step, z), torch.where(better, value, least)
        damping = torch.where(better, damping / 5, damping * 5)
    best = least.view(n, guesses).argmin(1)
    found = spread.descriptors(z).view(n, guesses, -1)[torch.arange(n), best]
    budget = {"guesses": guesses, "iterations": iterations, "templates": len(leaks)}
    return Recovered(found.to(prior), f"Levenberg-Marquardt on {what}", budget)


def by_constraints(
    rows: Callable[[Leak], Tensor], leaks: Sequence[Leak], prior: Tensor, margin: float, what: str, sweeps: int = 60
) -> Recovered:
    """Return the most likely descriptors with ``a · x ≥ margin`` for every row ``a``, by Hildreth's method.

    Args:
        rows: Returns of a leak the rows ``(N, C, D)`` that must be at least ``margin``.
        leaks: Templates of the same ``N`` people, each under another key.
        prior: Descriptors ``(P, D)`` of other faces.
        margin: Least value: descriptors in the middle of what is possible are closer than those on its edge.
        what: What the constraints are, in words.
        sweeps: Passes over all constraints.
    """
    spread = Spread.of(prior)
    every = torch.cat([rows(leak).double() for leak in leaks], 1)
    through, least = every @ spread.axes, margin - every @ spread.mean
    lengths = through.square().sum(2).clamp_min(1e-12)
    z = torch.zeros(len(every), every.shape[2], dtype=every.dtype)
    prices = torch.zeros_like(least)
    for _ in range(sweeps):
        for place in range(every.shape[1]):
            row, price = through[:, place], prices[:, place]
            lacking = (least[:, place] - (row * z).sum(1)) / lengths[:, place]
            change = torch.maximum(lacking, -price)
            prices[:, place] = price + change
            z = z + change[:, None] * row
    budget = {"sweeps": sweeps, "constraints": every.shape[1], "templates": len(leaks)}
    return Recovered(spread.descriptors(z).to(prior), f"hard constraints on {what}", budget)
