"""Rows of an audit's table from the readings of an attribute, and a line per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from faceinv.audit.attributes import Attribute
from faceinv.scoring.bootstrap import (
    Array,
    People,
    accuracy,
    auc,
    balanced_accuracy,
    interval,
    leakage,
    mean_error,
    r2,
)


@dataclass(frozen=True)
class Reading:
    """Values of an attribute read for the test images.

    Args:
        source: ``"descriptor"``, ``"image"`` or ``"baseline"``.
        recipe: How the reader was trained, or the network that sees the image; ``"exact"`` if the image was measured;
            ``None`` for the constant guess.
        values: ``(len(test), *shape)``.
    """

    source: str
    recipe: str | None
    values: Tensor


def score_attribute(
    attribute: Attribute,
    labels: Tensor,
    test: Tensor,
    people: Sequence[str],
    readings: Sequence[Reading],
    *,
    encoder: str,
    precision: str,
    dataset: str,
    seed: int,
    ids: Sequence[str],
    columns: dict[str, list[Any]],
) -> list[dict[str, Any]]:
    """Return a row per reading, over the test images with a known label.

    Args:
        attribute: The attribute.
        labels: ``(N, *shape)`` of the whole data set.
        test: ``(m,)`` rows that were read.
        people: Person in each image of the data set.
        readings: All readings, with the baseline's and, if there is one, the image's.
        encoder: Name reported with readings from descriptors.
        precision: The encoder's precision, reported likewise.
        dataset: Name reported with every row.
        seed: Seed of the bootstrap.
        ids: Names of the images.
        columns: Receives a line per image and reading.
    """
    known = ~labels[test].flatten(1).isnan().any(1)
    rows = test[known]
    truth = labels[rows]
    draws = People([people[int(row)] for row in rows], seed=seed)
    scores = {reading_key(reading): _replicates(attribute, truth, reading.values[known], draws) for reading in readings}
    main = {key: values[attribute.main_score] for key, values in scores.items()}
    guess = next((main[reading_key(r)] for r in readings if r.source == "baseline"), None)
    seen = next((main[reading_key(r)] for r in readings if r.source == "image"), None)
    table = []
    for reading in readings:
        key = reading_key(reading)
        metrics = {name: asdict(interval(values)) for name, values in scores[key].items()}
        if reading.source == "descriptor" and guess is not None and seen is not None:
            metrics["leakage"] = asdict(interval(leakage(main[key], guess, seen)))
        of = encoder if reading.source == "descriptor" else None
        table.append(
            {
                "encoder": of,
                "precision": precision if of else None,
                "attribute": attribute.name,
                "source": reading.source,
                "recipe": reading.recipe,
                "dataset": dataset,
                "n": len(rows),
                "metrics": metrics,
            }
        )
        values = reading.values[known]
        columns.setdefault("image", []).extend(ids[int(row)] for row in rows)
        columns.setdefault("identity", []).extend(people[int(row)] for row in rows)
        columns.setdefault("encoder", []).extend([of] * len(rows))
        for name in ("attribute", "source", "recipe"):
            columns.setdefault(name, []).extend([table[-1][name]] * len(rows))
        columns.setdefault("truth", []).extend(truth.flatten(1).tolist())
        columns.setdefault("read", []).extend(values.flatten(1).tolist())
        columns.setdefault("error", []).extend(attribute.probe.error(values, truth).tolist())
    return table


def reading_key(reading: Reading) -> tuple[str, str | None]:
    """Return the key of a reading among those of its attribute."""
    return reading.source, reading.recipe


def _replicates(attribute: Attribute, truth: Tensor, read: Tensor, draws: People) -> dict[str, Array]:
    """Return each score for every bootstrap draw."""
    a, b = truth.flatten(1).double().numpy(), read.flatten(1).double().numpy()
    if attribute.is_binary:
        scores = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "auc": auc}
        return {name: draws.replicates(score, a[:, 0], b[:, 0]) for name, score in scores.items()}
    found: dict[str, Array] = {}
    if attribute.error_name:
        errors = attribute.probe.error(read, truth).double().numpy()
        found[attribute.error_name] = draws.replicates(mean_error, errors, np.empty(0))
    found["r2"] = draws.replicates(r2, a, b)
    return found
