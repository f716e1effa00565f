"""Targets beside reconstructions to a row of scores for each target; encoders run once for all metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from faceinv.contracts import Metric
from faceinv.protocols import IdentityScores
from faceinv.specs import MetricSpec

#: Images at a time.
BATCH = 32


@dataclass(frozen=True)
class EncodedComparison:
    """A batch of targets and reconstructions with the cosines of the encoders already taken.

    Args:
        target: ``(B, 3, H, W)``.
        reconstruction: ``(B, 3, H, W)``.
        cosines: ``(B,)`` on the ``"attacked"`` encoder and on one ``"critic"``.
    """

    target: Tensor
    reconstruction: Tensor
    cosines: Mapping[str, Tensor]

    def similarity(self, role: str) -> Tensor:
        """Return the cosine of each pair on the encoder in this ``role``, ``(B,)``."""
        return self.cosines[role]


def embed_all(
    encode: Callable[[Tensor], Tensor], images: Tensor, batch_size: int = BATCH, device: torch.device | None = None
) -> Tensor:
    """Return the descriptors ``(N, D)`` of images ``(N, 3, H, W)``, a batch at a time, on the CPU."""
    with torch.inference_mode():
        batches = torch.split(images, batch_size)
        return torch.cat([encode(batch if device is None else batch.to(device)).float().cpu() for batch in batches])


def column(name: str, role: str) -> str:
    """Return the column of the metric ``name`` in a ``role``: further critics are named, after a colon."""
    _, colon, critic = role.partition(":")
    return f"{name}{colon}{critic}"


def score(
    targets: Tensor,
    reconstructions: Tensor,
    metrics: Mapping[str, tuple[MetricSpec, Metric]],
    identity: Mapping[str, IdentityScores],
) -> dict[str, list[float]]:
    """Return a column per metric, and for a metric of critics one for each critic.

    Where a metric's spec asks for a floor, two more columns put its value in place: ``<metric>_floor`` is the
    mean cosine to the targets of other people, ``<metric>_other`` that to other photographs of the same person,
    if there are any: that a reconstruction resembles the very photograph that leaked proves less than that it
    resembles another.

    Args:
        targets: ``(N, 3, H, W)``.
        reconstructions: ``(N, 3, H, W)``.
        metrics: Spec and built metric, by name.
        identity: What each encoder says, by role.
    """
    columns: dict[str, list[float]] = {}
    for name, (spec, metric) in metrics.items():
        roles = [role for role in identity if role.partition(":")[0] == spec.encoder] if spec.encoder else [""]
        for role in roles:
            columns[column(name, role)] = _values(metric, targets, reconstructions, identity, role)
            if spec.floor and role:
                columns[column(f"{name}_floor", role)] = identity[role].strangers.nanmean(1).tolist()
                columns[column(f"{name}_other", role)] = identity[role].others.nanmean(1).tolist()
    return {name: values for name, values in columns.items() if any(value == value for value in values)}


def _values(
    metric: Metric, targets: Tensor, reconstructions: Tensor, identity: Mapping[str, IdentityScores], role: str
) -> list[float]:
    kind = role.partition(":")[0]
    cosines = {name: scores.leaked for name, scores in identity.items() if ":" not in name}
    if kind:
        cosines[kind] = identity[role].leaked
    values: list[float] = []
    with torch.inference_mode():
        for first in range(0, len(targets), BATCH):
            part = slice(first, first + BATCH)
            of_batch = {name: scores[part] for name, scores in cosines.items()}
            values += metric(EncodedComparison(targets[part], reconstructions[part], of_batch)).tolist()
    return values
