"""Scores of each reconstruction against its target; encoders run once for all metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from faceinv.contracts.metrics import Metric
from faceinv.contracts.protocols import IdentityScores, blocks
from faceinv.contracts.specs import MetricSpec
from faceinv.errors import PluginError

#: Images in a batch.
BATCH = 32


@dataclass(frozen=True)
class EncodedComparison:
    """A batch of targets and reconstructions, with the encoders' cosines already computed.

    Args:
        target: ``(B, 3, H, W)``.
        reconstruction: ``(B, 3, H, W)``.
        cosines: ``(B,)`` on the ``"attacked"`` encoder and on one ``"critic"``.
    """

    target: Tensor
    reconstruction: Tensor
    cosines: Mapping[str, Tensor]

    def similarity(self, role: str) -> Tensor:
        """Return the cosine of each pair for the encoder in this ``role``, ``(B,)``."""
        return self.cosines[role]


def embed_all(
    encode: Callable[[Tensor], Tensor], images: Tensor, batch_size: int = BATCH, device: torch.device | None = None
) -> Tensor:
    """Return the descriptors ``(N, D)`` of images ``(N, 3, H, W)`` on the CPU, computed in batches.

    Raises:
        PluginError: if the encoder returns NaN or infinity: no score of such a descriptor means anything.
    """
    with torch.inference_mode():
        batches = torch.split(images, batch_size)
        found = torch.cat([encode(batch if device is None else batch.to(device)).float().cpu() for batch in batches])
    bad = int((~found.isfinite().all(1)).sum())
    if bad:
        name = getattr(getattr(encode, "spec", None), "name", "")
        raise PluginError(
            f"The encoder '{name}' returned NaN or infinity for {bad} of {len(found)} images; its weights are damaged, "
            "or its plugin is."
        )
    return found


def column(name: str, role: str) -> str:
    """Return the column of the metric ``name`` in a ``role``; further critics add their name after a colon."""
    _, colon, critic = role.partition(":")
    return f"{name}{colon}{critic}"


def score_pairs(
    targets: Tensor,
    reconstructions: Tensor,
    metrics: Mapping[str, tuple[MetricSpec, Metric]],
    leaked: Mapping[str, Tensor],
) -> dict[str, list[float]]:
    """Return a column of scores for each metric, or for each critic if the metric uses critics.

    Args:
        targets: ``(N, 3, H, W)``.
        reconstructions: ``(N, 3, H, W)``.
        metrics: Spec and metric, by name.
        leaked: Cosine of each pair ``(N,)`` for each encoder, by role.
    """
    return {
        column(name, role): _values(metric, targets, reconstructions, leaked, role)
        for name, (spec, metric) in metrics.items()
        for role in _roles(spec, leaked)
    }


def with_floors(
    columns: Mapping[str, list[float]], specs: Iterable[MetricSpec], identity: Mapping[str, IdentityScores]
) -> dict[str, list[float]]:
    """Return the columns of :func:`score_pairs` plus their baselines.

    A metric with ``floor`` gets two more columns: ``<metric>_floor``, the mean cosine to the targets of other people,
    and ``<metric>_other``, the mean cosine to other photographs of the same person. A reconstruction that resembles
    another photograph proves more than one that resembles the photograph that leaked. Columns without any value are
    omitted.

    Args:
        columns: A value for each target, by column.
        specs: The metrics.
        identity: Each encoder's scores, by role.
    """
    found: dict[str, list[float]] = {}
    for spec in specs:
        for role in _roles(spec, identity):
            if column(spec.name, role) in columns:
                found[column(spec.name, role)] = list(columns[column(spec.name, role)])
                if spec.floor and role:
                    scores = identity[role]
                    floor = [scores.strangers[part].nanmean(1) for part in blocks(len(scores.leaked))]
                    found[column(f"{spec.name}_floor", role)] = torch.cat(floor).tolist()
                    found[column(f"{spec.name}_other", role)] = scores.others.nanmean(1).tolist()
        if spec.ceiling and f"{spec.name}_ceiling" in columns:
            found[f"{spec.name}_ceiling"] = list(columns[f"{spec.name}_ceiling"])
    return {name: values for name, values in found.items() if any(value == value for value in values)}


def _roles(spec: MetricSpec, roles: Iterable[str]) -> list[str]:
    """Return the roles that a metric is scored in; a single empty one if it uses no encoder."""
    return [role for role in roles if role.partition(":")[0] == spec.encoder] if spec.encoder else [""]


def _values(
    metric: Metric, targets: Tensor, reconstructions: Tensor, leaked: Mapping[str, Tensor], role: str
) -> list[float]:
    kind = role.partition(":")[0]
    cosines = {name: scores for name, scores in leaked.items() if ":" not in name}
    if kind:
        cosines[kind] = leaked[role]
    values: list[float] = []
    with torch.inference_mode():
        for first in range(0, len(targets), BATCH):
            part = slice(first, first + BATCH)
            of_batch = {name: scores[part] for name, scores in cosines.items()}
            values += metric(EncodedComparison(targets[part], reconstructions[part], of_batch)).tolist()
    return values
