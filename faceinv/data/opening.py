"""Data sets opened by ``NAME[:PATH]``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceinv.contracts.specs import DatasetSpec, Spec
from faceinv.errors import InputError, PluginError, UsageError, shown
from faceinv.plugins.host import Host
from faceinv.plugins.options import check_options

if TYPE_CHECKING:
    from faceinv.contracts.data import Dataset, DatasetContext


def open_dataset(
    host: Host,
    given: str,
    context: DatasetContext | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    files: Callable[[Spec], Sequence[Path]] = lambda spec: (),
) -> tuple[Dataset, DatasetSpec]:
    """Open a data set.

    Args:
        host: The plugins.
        given: ``name`` or ``name:PATH``.
        context: Generator, seed and labels; the default has none of them.
        options: Keyword arguments for its factory; they override those of its spec.
        files: Fetches the files that a spec declares as its ``weights``, such as :meth:`faceinv.models.Loader.paths`.

    Raises:
        UsageError: no data set has this name, a path is missing, or a path, labels or an option are not accepted.
        InputError: the path does not hold such a data set, or cannot be read.
        PluginError: the data set is not a :class:`Dataset`.
    """
    from faceinv.contracts.data import Dataset, DatasetContext

    name, path = parse_dataset(host, given)
    spec: DatasetSpec = host.spec("dataset", name)
    context = context or DatasetContext(None, None, "", 0, None)
    if context.labels is not None and not spec.takes_labels:
        takes = [other.name for other in host.specs("dataset") if other.takes_labels]
        raise UsageError(f"The data set '{spec.name}' takes no --labels. Data sets that do: {', '.join(takes)}.")
    check_options(spec, options or {})
    try:
        dataset = host.build(spec, path, *files(spec), context=context, **{**spec.options, **(options or {})})
    except OSError as error:
        # For example a name that is too long, or a folder that may not be entered.
        raise InputError(f"The data set '{shown(given)}' cannot be opened: {error.strerror or error}.") from error
    if not isinstance(dataset, Dataset):
        raise PluginError(
            f"The data set '{spec.name}' of {host.owner('dataset', spec.name)} opens as a {type(dataset).__name__}, "
            "not a faceinv.contracts.Dataset."
        )
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
