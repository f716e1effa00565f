"""Conversion of published weights files to safetensors, a format that cannot run code."""

from __future__ import annotations

import contextlib
import pkgutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from faceinv.contracts.specs import WeightSpec
from faceinv.errors import PluginError, UsageError, WeightsError
from faceinv.plugins.host import Host
from faceinv.storage.hashing import file_sha256
from faceinv.weights.formats.opening import opened
from faceinv.weights.formats.state_dict import read_tensors, save_tensors
from faceinv.weights.identify import identify

Converter = Callable[[Path, Path], None]


def convert(host: Host, file: Path, out: Path) -> str:
    """Write the tensors of a published ``file`` as safetensors to ``out``, and return the network they belong to.

    The converters of plugins are tried first, then a plain state dict. Nothing in ``file`` is executed; its SHA-256
    is written to the metadata of ``out``.

    Returns:
        Names of the networks that the file may belong to, joined by "or"; an empty string if none is known.

    Raises:
        UsageError: if ``out`` is ``file``.
        WeightsError: if no reader can read the file.
        StorageError: if ``out`` cannot be written.
    """
    with opened(file):
        pass  # What cannot be opened is refused before the readers try, each with its own message.
    if out.exists() and out.samefile(file):
        raise UsageError(f"--out {out} is the input file; give another name.")
    specs: list[WeightSpec] = list(host.specs("weights"))
    refusals = []
    for target in _converters(specs):
        try:
            _load(target)(file, out)
        except WeightsError as error:
            refusals.append(str(error))
        else:
            return " or ".join(_users(specs, target))
    try:
        tensors = read_tensors(file)
    except WeightsError as error:
        raise WeightsError(" ".join(dict.fromkeys([*refusals, str(error)]))) from None
    save_tensors(tensors, out, source=file)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return " or ".join(identify(specs, shapes, file_sha256(file)))


def identify_file(host: Host, file: Path, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Return the networks that ``file`` may belong to, by its tensors' ``shapes`` or by the converter that reads it."""
    specs: list[WeightSpec] = list(host.specs("weights"))
    names = identify(specs, shapes, file_sha256(file))
    if names:
        return names
    for target in _converters(specs):
        with tempfile.TemporaryDirectory() as scratch, contextlib.suppress(WeightsError):
            _load(target)(file, Path(scratch) / "converted.safetensors")
            return _users(specs, target)
    return []


def _converters(specs: Iterable[WeightSpec]) -> list[str]:
    return list(dict.fromkeys(spec.converter for spec in specs if spec.converter))


def _users(specs: Iterable[WeightSpec], target: str) -> list[str]:
    return [spec.name.rpartition("/")[0] for spec in specs if spec.converter == target]


def _load(target: str) -> Converter:
    try:
        found: Converter = pkgutil.resolve_name(target)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"The converter {target} cannot be loaded: {error}") from error
    return found
