"""Objectives: the weighted sum of losses (equation 4), and the attribute loss behind equation (2) and histograms."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from faceinv.attack.preparation import Preparation, ProbeScore
from faceinv.contracts.losses import Loss, LossContext
from faceinv.contracts.methods import Candidate
from faceinv.contracts.specs import PRESETS, LossSpec
from faceinv.errors import PluginError, UsageError, unknown_name


class AttributeLoss(Loss):
    """``‖measure(candidate image) − probe(target descriptor)‖²``: equation (2), for any measurable attribute.

    The presets of the paper use this squared distance, in a unit of their own. All others use the Mahalanobis
    distance in the probe's own coordinates, with the covariance of the reader's errors on held-out samples, divided by
    the number of coordinates. An attribute, or one direction of it, that is read poorly then weighs less, and a value
    of 1 is the reader's usual error.

    Args:
        context: Preset, probe, its trained reader and the covariance of the reader's errors.
        measure: ``"module:function"`` to measure the attribute with, in place of the probe.
        units: Factor from the probe's unit to that of a preset of the paper, by preset; 1 if not listed.
    """

    def __init__(self, context: LossContext, *, measure: str = "", units: Mapping[str, float] | None = None) -> None:
        if context.probe is None or context.reader is None:
            raise PluginError("An attribute loss needs a probe; its LossSpec must name one.")
        self._measure: Callable[[Tensor], Tensor] = _function(measure) if measure else context.probe.measure
        self._read = context.reader
        self._paper = context.of_the_paper
        self._coordinates = context.probe.coordinates
        self._factor = (units or {}).get(context.preset, 1.0) ** 2
        covariance = context.error_covariance
        self._whiten = None if self._paper or covariance is None else whitening(covariance)

    def prepare(self, descriptors: Tensor) -> Tensor:
        """Read the attributes ``(B, *shape)`` from the target descriptors ``(B, D)``."""
        with torch.no_grad():
            return self._read(descriptors)

    def __call__(self, candidate: Candidate, prepared: Tensor) -> Tensor:
        """Return the loss of each candidate, ``(B,)``."""
        measured = self._measure(candidate.images)
        if self._paper:
            return (measured - prepared).flatten(1).square().sum(1) * self._factor
        residual = self._coordinates(measured) - self._coordinates(prepared)
        if self._whiten is not None:
            residual = residual @ self._whiten.to(residual)
        return residual.square().mean(1)


def whitening(covariance: Tensor, shrinkage: float = 0.02) -> Tensor:
    """Return ``W`` ``(k, k)`` with ``W Wᵀ = covariance⁻¹``: errors times W are uncorrelated, with variance 1.

    A share of the mean variance is added to every direction first, because directions in which a few thousand
    samples show no error are less certain than they seem (Ledoit and Wolf 2004, with a fixed intensity).

    Args:
        covariance: ``(k, k)``, symmetric and positive semi-definite.
        shrinkage: The share.
    """
    exact = covariance.double()
    mean = exact.diagonal().mean().clamp_min(torch.finfo(torch.float32).tiny)
    exact = exact + shrinkage * mean * torch.eye(len(exact), dtype=exact.dtype, device=exact.device)
    factor: Tensor = torch.linalg.cholesky(torch.linalg.inv(exact))
    return factor.to(covariance)


@dataclass(frozen=True)
class Term:
    """A loss of an objective, with its name and weight."""

    name: str
    loss: Loss
    weight: float


class WeightedSum:
    """``Σ wᵢ Lᵢ`` (equation 4), per candidate.

    Args:
        terms: Losses with their weights.
        left_out: Names of losses that were asked for and are not part of the sum.
    """

    def __init__(self, terms: list[Term], left_out: Sequence[str] = ()) -> None:
        self.terms = terms
        self._left_out = left_out

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each loss that was asked for; 0 if it was left out."""
        return {term.name: term.weight for term in self.terms} | dict.fromkeys(self._left_out, 0.0)

    def prepare(self, descriptors: Tensor) -> list[Any]:
        """Return what each loss computes once from the target descriptors ``(B, D)``."""
        return [term.loss.prepare(descriptors) for term in self.terms]

    def __call__(self, candidate: Candidate, prepared: list[Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum ``(B,)``, and each unweighted term by name."""
        values: dict[str, Tensor] = {}
        total: Tensor | None = None
        for term, target in zip(self.terms, prepared, strict=True):
            value = term.loss(candidate, target)
            values[term.name] = value.detach()
            weighted = value * term.weight
            total = weighted if total is None else total + weighted
        assert total is not None, "an objective has at least one term"
        return total, values


def build_objective(
    specs: list[LossSpec],
    contexts: Mapping[str, LossContext],
    weights: Mapping[str, float],
    preset: str,
    build: Callable[..., Any],
) -> WeightedSum:
    """Return the objective made of these losses.

    Args:
        specs: Losses, in the order given by the user.
        contexts: Context of each loss, by name.
        weights: Weights by name; they override the preset's.
        preset: Name of the objective preset.
        build: :meth:`faceinv.plugins.Host.build`, or what does its work.

    Raises:
        UnknownNameError: if there is no such preset.
    """
    if preset not in PRESETS:
        raise unknown_name("objective preset", preset, PRESETS)
    return WeightedSum(
        [
            Term(
                spec.name,
                build(spec, contexts[spec.name], **spec.options),
                weights.get(spec.name, spec.weight(preset)),
            )
            for spec in specs
        ]
    )


def prepared_objective(
    preparation: Preparation,
    losses: list[LossSpec],
    preset: str,
    weights: Mapping[str, float],
    say: Callable[[str], None] = lambda text: None,
) -> WeightedSum:
    """Return the objective made of these losses; train the probes they need.

    Under ``"balanced"``, a loss whose probe reads worse than guessing is left out unless ``weights`` names it.

    Args:
        preparation: The attacker's preparation.
        losses: Losses, in the order given by the user.
        preset: Objective preset.
        weights: Weights by name; they override the preset's.
        say: Called with a line for each loss whose probe reads worse than guessing.

    Raises:
        UsageError: if every loss is left out.
    """
    misread = misread_losses(losses, _scores(preparation, losses), preset, weights)
    for text in misread.values():
        say(text)
    left_out = _left_out(misread, preset, weights)
    kept = [loss for loss in losses if loss.name not in left_out]
    if not kept:
        raise UsageError(f"No loss is left to minimise. {' '.join(misread.values())} Add another loss, such as id.")
    contexts = {loss.name: _context(preparation, loss.probe, preset) for loss in kept}
    objective = build_objective(kept, contexts, weights, preset, preparation.loader.host.build)
    return WeightedSum(objective.terms, left_out)


def misread_losses(
    losses: Sequence[LossSpec], scores: Mapping[str, ProbeScore], preset: str, weights: Mapping[str, float]
) -> dict[str, str]:
    """Return a sentence for each loss whose probe reads worse than guessing, by the name of the loss.

    Args:
        losses: The losses.
        scores: Score of each probe that they read, by name.
        preset: Objective preset.
        weights: Weights by name that override the preset's.
    """
    return {
        loss.name: f"{scores[loss.probe].misread(loss.probe)} "
        + (
            f"The loss '{loss.name}' is left out; --loss-weights {loss.name}=WEIGHT uses it all the same."
            if _is_left_out(loss.name, preset, weights)
            else f"The loss '{loss.name}' pulls towards what it reads; leave it out, or use --probes tuned."
        )
        for loss in losses
        if loss.probe and not scores[loss.probe].informed
    }


def probes_read(
    preparation: Preparation, losses: Sequence[LossSpec], preset: str, weights: Mapping[str, float]
) -> list[str]:
    """Return the names of the probes that these losses read, without those of losses that are left out."""
    misread = misread_losses(losses, _scores(preparation, losses), preset, weights)
    left_out = _left_out(misread, preset, weights)
    return [loss.probe for loss in losses if loss.probe and loss.name not in left_out]


def _scores(preparation: Preparation, losses: Sequence[LossSpec]) -> dict[str, ProbeScore]:
    return {loss.probe: preparation.probe_score(loss.probe) for loss in losses if loss.probe}


def _left_out(misread: Iterable[str], preset: str, weights: Mapping[str, float]) -> list[str]:
    return [name for name in misread if _is_left_out(name, preset, weights)]


def _is_left_out(misread: str, preset: str, weights: Mapping[str, float]) -> bool:
    return preset == "balanced" and misread not in weights


def _context(preparation: Preparation, probe: str, preset: str) -> LossContext:
    variance, whitening = preparation.descriptor_statistics.variance, preparation.whitening
    if not probe:
        return LossContext(preset, variance, whitening=whitening)
    reader, covariance = preparation.reader(probe), preparation.error_covariance(probe)
    return LossContext(preset, variance, preparation.probe(probe), reader, covariance, whitening)


def _function(target: str) -> Callable[[Tensor], Tensor]:
    function: Callable[[Tensor], Tensor] = pkgutil.resolve_name(target)
    return function
