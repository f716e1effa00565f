"""Data sets opened by ``NAME[:PATH]``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceinv.contracts.specs import DatasetSpec
from faceinv.errors import UsageError, suggest
from faceinv.plugins.host import Host
from faceinv.plugins.registry import load_target

if TYPE_CHECKING:
    from faceinv.contracts.data import Dataset, DatasetContext


def open_dataset(
    host: Host,
    given: str,
    context: DatasetContext | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[Dataset, DatasetSpec]:
    """Open a data set.

    Args:
        host: The plugins.
        given: ``name`` or ``name:PATH``.
        context: Generator, seed and labels; the default has none of them.
        options: Keyword arguments for its factory; they override those of its spec.

    Raises:
        UsageError: no data set has this name, a path is missing, or a path, labels or an option are not accepted.
        InputError: the path does not hold such a data set.
    """
    from faceinv.contracts.data import DatasetContext

    name, path = parse_dataset(host, given)
    spec: DatasetSpec = host.spec("dataset", name)
    context = context or DatasetContext(None, None, "", 0, None)
    if context.labels is not None and not spec.takes_labels:
        takes = [other.name for other in host.specs("dataset") if other.takes_labels]
        raise UsageError(f"The data set '{spec.name}' takes no --labels. Data sets that do: {', '.join(takes)}.")
    factory = load_target(spec)
    allowed = [key for key in inspect.signature(factory).parameters if key not in ("path", "context")]
    for key in options or {}:
        if key not in allowed:
            listed = f"Allowed: {', '.join(allowed)}." if allowed else "It has no options."
            raise UsageError(f"The data set '{spec.name}' has no option '{key}'.{suggest(key, allowed)} {listed}")
    dataset: Dataset = factory(path, context=context, **{**spec.options, **(options or {})})
    return dataset, spec


def parse_dataset(host: Host, given: str) -> tuple[str, Path | None]:
    """Return the full name and the path of ``name[:PATH]``.

    Raises:
        UsageError: no data set has this name, or a path is missing or not accepted.
    """
    name, colon, path = given.partition(":")
    spec: DatasetSpec = host.spec("dataset", name)
    if spec.takes_path and not path:
        raise UsageError(f"'{given}' needs a path: {name}:PATH.")
    if colon and not spec.takes_path:
        raise UsageError(f"'{spec.name}' takes no path, got '{given}'.")
    return spec.name, Path(path) if path else None
