"""Whether several answers are as sure as they look: how often the truth lies in their ranges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from faceinv.scoring.statistics import Estimate, estimate

Array = npt.NDArray[np.float64]

#: Levels of the ranges.
LEVELS = (0.5, 0.8, 0.95)
#: Level that a factor for the width of ranges is fitted at.
FITTED = 0.8


@dataclass(frozen=True)
class Calibration:
    """How often the truth of an attribute lies in the ranges of several answers.

    Args:
        inside: Share of the attribute's numbers in the range, by level, with its interval over people.
        factor: What the ranges must be multiplied by, so that they hold as often as they should at :data:`FITTED`;
            the mean of both halves.
        scaled: The same shares with ranges scaled by the factor of the other half of the people.
        left: Spread of the answers to one target, as a share of the spread of the truth over targets: 0 where all
            answers agree, about 1 where nothing is known.
    """

    inside: tuple[Estimate, ...]
    factor: float
    scaled: tuple[Estimate, ...]
    left: float


def calibrate(answers: Array, truth: Array, people: list[str]) -> Calibration:
    """Return how well the ranges of answers hold.

    If truth and answers came from the same normal distribution, the truth would lie in Student's prediction range of
    K answers exactly as often as its level says.

    Args:
        answers: ``(n, K, d)``, K at least 2.
        truth: ``(n, d)``.
        people: The person in each of the ``n`` targets.
    """
    k = answers.shape[1]
    centre, spread = answers.mean(1), answers.std(1, ddof=1)
    # In units of the standard error of a prediction; a number on which all answers agree has a tiny one.
    distance = np.abs(truth - centre) / np.maximum(spread * np.sqrt(1 + 1 / k), 1e-12)
    width = {level: student_quantile((1 + level) / 2, k - 1) for level in LEVELS}
    names = {name: place for place, name in enumerate(dict.fromkeys(people))}
    half = np.array([names[name] % 2 == 1 for name in people])
    factors = np.full(len(people), np.nan)
    for own in (half, ~half):
        if own.any() and (~own).any():
            factors[own] = np.quantile(distance[~own], FITTED) / width[FITTED]

    def shares(scale: Array) -> tuple[Estimate, ...]:
        within = [(distance <= width[level] * scale[:, None]).mean(1) for level in LEVELS]
        return tuple(estimate(share, people=people) for share in within)

    known = np.isfinite(factors).all()
    total = truth.std(0)
    varies = total > 1e-9
    left = float((spread[:, varies].mean(0) / total[varies]).mean()) if varies.any() else float("nan")
    return Calibration(
        shares(np.ones(len(people))),
        float(np.mean([factors[half].mean(), factors[~half].mean()])) if known else float("nan"),
        shares(factors) if known else (),
        left,
    )


def student_quantile(p: float, degrees: int) -> float:
    """Return the quantile of Student's distribution, by integration over the angle whose tangent is t / √degrees."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, 200_001)
    density = np.cos(angles) ** (degrees - 1)
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    angle = np.interp(p * cumulative[-1], cumulative, angles)
    return float(np.sqrt(degrees) * np.tan(angle))
