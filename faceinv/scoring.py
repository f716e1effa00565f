"""Targets beside reconstructions to one row per target; encoders run once for all metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from faceinv.contracts import Metric
from faceinv.specs import MetricSpec

_BATCH = 32


@dataclass(frozen=True)
class EncodedComparison:
    """A batch of targets and reconstructions with the cosines of the encoders already taken.

    Args:
        target: ``(B, 3, H, W)``.
        reconstruction: ``(B, 3, H, W)``.
        cosines: ``(B,)`` by role.
        strangers: ``(B,)`` by role: mean cosine to other people's targets.
        others: ``(B,)`` by role: mean cosine to other targets of the same person, NaN where there is none.
    """

    target: Tensor
    reconstruction: Tensor
    cosines: Mapping[str, Tensor]
    strangers: Mapping[str, Tensor]
    others: Mapping[str, Tensor]

    def similarity(self, role: str) -> Tensor:
        """Return the cosine of each pair on the encoder in this ``role``, ``(B,)``."""
        return self.cosines[role]


def embed_all(encode: Callable[[Tensor], Tensor], images: Tensor, batch_size: int = _BATCH) -> Tensor:
    """Return the descriptors ``(N, D)`` of images ``(N, 3, H, W)``, a batch at a time."""
    with torch.inference_mode():
        return torch.cat([encode(batch).float().cpu() for batch in torch.split(images, batch_size)])


def score(
    targets: Tensor,
    reconstructions: Tensor,
    metrics: Mapping[str, tuple[MetricSpec, Metric]],
    encoders: Mapping[str, Callable[[Tensor], Tensor]],
    identities: Sequence[str] | None = None,
) -> dict[str, list[float]]:
    """Return a column per metric; where its spec asks for a floor, two more that put its value in place.

    ``<metric>_floor`` is the mean cosine to the targets of other people. ``<metric>_other`` is that to
    other targets of the same person, if there are any: that a reconstruction resembles the very photograph that
    leaked proves less than that it resembles another.

    Args:
        targets: ``(N, 3, H, W)``.
        reconstructions: ``(N, 3, H, W)``.
        metrics: Spec and built metric, by name.
        encoders: Encoders from the generator's framing, by role.
        identities: Who the targets are; the floor leaves out pairs of the same person.
    """
    cosines: dict[str, Tensor] = {}
    strangers: dict[str, Tensor] = {}
    others: dict[str, Tensor] = {}
    same = _same_person(len(targets), identities)
    itself = torch.eye(len(targets))
    needed = {spec.encoder for spec, _ in metrics.values()} - {""}
    for role in needed:
        of_targets = nn.functional.normalize(embed_all(encoders[role], targets))
        of_results = nn.functional.normalize(embed_all(encoders[role], reconstructions))
        every = of_results @ of_targets.T
        cosines[role] = every.diagonal().clone()
        # NaN where there is no stranger, or no other photograph.
        strangers[role] = (every * (1 - same)).sum(1) / (1 - same).sum(1)
        others[role] = (every * (same - itself)).sum(1) / (same - itself).sum(1)
    columns: dict[str, list[float]] = {}
    for first in range(0, len(targets), _BATCH):
        part = slice(first, first + _BATCH)
        comparison = EncodedComparison(
            targets[part],
            reconstructions[part],
            {role: values[part] for role, values in cosines.items()},
            {role: values[part] for role, values in strangers.items()},
            {role: values[part] for role, values in others.items()},
        )
        with torch.inference_mode():
            for name, (spec, metric) in metrics.items():
                columns.setdefault(name, []).extend(metric(comparison).tolist())
                if spec.floor:
                    floor, other = comparison.strangers[spec.encoder], comparison.others[spec.encoder]
                    columns.setdefault(f"{name}_floor", []).extend(floor.tolist())
                    columns.setdefault(f"{name}_other", []).extend(other.tolist())
    return {name: values for name, values in columns.items() if any(value == value for value in values)}


def _same_person(n: int, identities: Sequence[str] | None) -> Tensor:
    names = list(identities) if identities is not None else [str(index) for index in range(n)]
    codes = torch.tensor([names.index(name) for name in names])
    return (codes[:, None] == codes[None, :]).float()
