"""Files on this machine, or inside an installed Python package."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from faceinv.errors import WeightsError
from faceinv.storage.regular import open_regular
from faceinv.weights.sources.base import Progress


def fetch_file(location: str, destination: Path, progress: Progress) -> None:
    """Copy the file at the path ``location`` (``~`` means the home folder) to ``destination``."""
    _copy(Path(location).expanduser(), destination, progress)


def fetch_package(location: str, destination: Path, progress: Progress) -> None:
    """Copy the file ``MODULE/FILE`` of an installed package to ``destination``."""
    _copy(packaged_file(location), destination, progress)


def packaged_file(location: str) -> Path:
    """Return the path of the file ``MODULE/FILE`` of an installed package, without importing the package.

    Raises:
        WeightsError: if the package is not installed or lacks the file.
    """
    module, _, member = location.partition("/")
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.submodule_search_locations:
        raise WeightsError(f"the package '{module}' is not installed")
    for folder in found.submodule_search_locations:
        path = Path(folder) / member
        if member and path.is_file():
            return path
    raise WeightsError(f"the package '{module}' has no file '{member}'")


def _copy(origin: Path, destination: Path, progress: Progress) -> None:
    try:
        source = open_regular(origin)
    except OSError as error:
        raise WeightsError(f"{origin} cannot be read: {error.strerror or error}") from None
    with source, destination.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
        progress(target.tell(), target.tell())
