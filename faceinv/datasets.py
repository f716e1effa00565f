"""From ``name`` or ``name:PATH`` to a data set."""

from __future__ import annotations

from pathlib import Path

from faceinv.contracts import Dataset, DatasetContext
from faceinv.errors import UsageError
from faceinv.loading import Loader
from faceinv.registry import load_target
from faceinv.specs import DatasetSpec


def open_dataset(
    loader: Loader,
    given: str,
    *,
    generator: str = "",
    labels: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> tuple[DatasetSpec, Dataset]:
    """Return a data set and what it declares.

    Args:
        loader: Builds the generator, for data sets that sample one.
        given: ``name`` or ``name:PATH``.
        generator: Name of the generator; built only where the data set has no photographs.
        labels: A CSV file of annotations.
        limit: How many images will be asked for at most.
        seed: Seed of what is sampled.

    Raises:
        UsageError: the data set needs a path, or takes none, or no labels.
        InputError: the path does not hold such a data set.
    """
    name, colon, path = given.partition(":")
    spec: DatasetSpec = loader.host.spec("dataset", name)
    if spec.takes_path and not path:
        raise UsageError(f"The data set '{given}' needs a path: {spec.name}:PATH.")
    if colon and not spec.takes_path:
        raise UsageError(f"The data set '{spec.name}' takes no path, got '{given}'.")
    if labels is not None and not spec.takes_labels:
        takers = ", ".join(other.name for other in loader.host.specs("dataset") if other.takes_labels)
        raise UsageError(f"The data set '{spec.name}' takes no labels; these do: {takers or 'none'}.")
    loaded = loader.generator(generator) if generator and not spec.real else None
    context = DatasetContext(
        generator=None if loaded is None else loaded.network,
        framing=None if loaded is None else loaded.framing,
        space="" if loaded is None else loaded.space(),
        seed=seed,
        limit=limit,
        labels=labels,
    )
    dataset: Dataset = load_target(spec)(Path(path) if path else None, context=context, **spec.options)
    return spec, dataset
