"""Losses into one number: the weighted sum of equation (4), and the one class behind (2) and the histogram loss."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from faceinv.contracts.losses import Loss, LossContext
from faceinv.contracts.methods import Candidate
from faceinv.contracts.specs import PRESETS, LossSpec
from faceinv.errors import PluginError, unknown_name
from faceinv.plugins.registry import load_target


class AttributeLoss(Loss):
    """``‖measure(candidate image) − probe(target descriptor)‖²``: equation (2), for any measurable attribute.

    Under the preset ``"paper"`` it is that squared distance, as it stands. Otherwise it is Mahalanobis's, in
    the probe's own coordinates and with the covariance of the reader's errors on held-out samples, divided by
    their number: what can hardly be read pulls less, be it a whole attribute or one direction of it, and 1 is
    as far as the reader is usually wrong.

    Args:
        context: The probe, its trained reader and the covariance of its errors, the preset.
        measure: ``"module:function"`` that measures the attribute instead of the probe.
        paper_scale: Factor from the attribute's unit to the paper's.
    """

    def __init__(self, context: LossContext, *, measure: str = "", paper_scale: float = 1.0) -> None:
        if context.probe is None or context.reader is None:
            raise PluginError("An attribute loss needs a probe; its LossSpec must name one.")
        self._measure: Callable[[Tensor], Tensor] = _function(measure) if measure else context.probe.measure
        self._read = context.reader
        self._paper = context.preset == "paper"
        self._coordinates = context.probe.coordinates
        self._paper_scale = paper_scale**2
        covariance = context.error_covariance
        self._whiten = None if self._paper or covariance is None else whitening(covariance)

    def prepare(self, descriptors: Tensor) -> Tensor:
        """Return the attributes ``(B, *shape)`` read from the target descriptors ``(B, D)``."""
        with torch.no_grad():
            return self._read(descriptors)

    def __call__(self, candidate: Candidate, prepared: Tensor) -> Tensor:
        """Return the loss of each candidate, ``(B,)``."""
        measured = self._measure(candidate.images)
        if self._paper:
            return (measured - prepared).flatten(1).square().sum(1) * self._paper_scale
        residual = self._coordinates(measured) - self._coordinates(prepared)
        if self._whiten is not None:
            residual = residual @ self._whiten.to(residual)
        return residual.square().mean(1)


def whitening(covariance: Tensor, shrinkage: float = 0.02) -> Tensor:
    """Return ``W`` ``(k, k)`` with ``W Wᵀ = covariance⁻¹``: errors times W are independent and of variance 1.

    A share of the mean variance is added to every direction first: those in which a few thousand samples
    happen to show no error are not as certain as they seem (Ledoit and Wolf 2004, with a fixed intensity).

    Args:
        covariance: ``(k, k)``, symmetric and not negative.
        shrinkage: The share.
    """
    exact = covariance.double()
    mean = exact.diagonal().mean().clamp_min(torch.finfo(torch.float32).tiny)
    exact = exact + shrinkage * mean * torch.eye(len(exact), dtype=exact.dtype, device=exact.device)
    factor: Tensor = torch.linalg.cholesky(torch.linalg.inv(exact))
    return factor.to(covariance)


@dataclass(frozen=True)
class Term:
    """One loss of an objective, with its name and weight."""

    name: str
    loss: Loss
    weight: float


class WeightedSum:
    """``Σ wᵢ Lᵢ`` (equation 4), per candidate.

    Args:
        terms: The losses with their weights.
    """

    def __init__(self, terms: list[Term]) -> None:
        self.terms = terms

    def prepare(self, descriptors: Tensor) -> list[Any]:
        """Return what each loss needs of the target descriptors ``(B, D)``."""
        return [term.loss.prepare(descriptors) for term in self.terms]

    def __call__(self, candidate: Candidate, prepared: list[Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum ``(B,)`` and each term before weighting, by name."""
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
    specs: list[LossSpec], contexts: Mapping[str, LossContext], weights: Mapping[str, float], preset: str
) -> WeightedSum:
    """Build the objective of these losses.

    Args:
        specs: The losses, in the order given by the user.
        contexts: What each loss is built with, by its name.
        weights: Weights that override the preset's, by name.
        preset: ``"paper"`` or ``"balanced"``.

    Raises:
        UnknownNameError: there is no such preset.
    """
    if preset not in PRESETS:
        raise unknown_name("objective preset", preset, PRESETS)
    return WeightedSum(
        [
            Term(
                spec.name,
                load_target(spec)(contexts[spec.name], **spec.options),
                weights.get(spec.name, spec.preset_weights.get(preset, 1.0)),
            )
            for spec in specs
        ]
    )


def _function(target: str) -> Callable[[Tensor], Tensor]:
    function: Callable[[Tensor], Tensor] = pkgutil.resolve_name(target)
    return function
