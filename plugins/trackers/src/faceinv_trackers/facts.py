"""What all trackers are told of a cell, in the same words."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from faceinv.contracts import CellFacts, CellResult, Picture
from faceinv.data import read_image
from faceinv.errors import UsageError

#: Ends of a name in the trackers that allow only letters, digits and a few marks in it.
_ALLOWED = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. /")


def tracker(module: str, extra: str) -> ModuleType:
    """Import the package of a tracker.

    Raises:
        UsageError: if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"The reporter '{extra}' needs a package that cannot be imported ({error}): "
            f"pip install 'faceinv-plugins[{extra}]'."
        ) from None


def name_of(cell: CellFacts) -> str:
    """Return a name of a cell that is unique in a run and can be that of a folder."""
    return plain(f"{cell.number}-{cell.config['method']}-{'+'.join(cell.config['losses'])}-{cell.id[:8]}")


def plain(name: str) -> str:
    """Return ``name`` with other marks in place of those that trackers refuse."""
    return "".join(letter if letter in _ALLOWED else "_" for letter in name.replace("@", " at ").replace(":", "/"))


def scores(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the mean, the ends of the interval, and the n of each score; numbers that do not exist are left out."""
    for name, summary in record["metrics"].items():
        for key in ("mean", "low", "high", "n"):
            if summary.get(key) is not None:
                yield f"{plain(name)}/{key}", float(summary[key])
    for row in record.get("success", ()):
        for key in ("share", "low", "high"):
            if row.get(key) is not None:
                name = f"success type {row['type']} at {row['fmr']:g} {row['role']}"
                yield f"{plain(name)}/{'mean' if key == 'share' else key}", float(row[key])


def losses(record: Mapping[str, Any]) -> Iterator[tuple[str, int, float]]:
    """Yield name, step and value of each loss along the search."""
    for name, series in record.get("trajectory", {}).items():
        for step, value in enumerate(series, 1):
            if value is not None:
                yield f"loss/{plain(name)}", step, float(value)


def pairs(result: CellResult, most: int) -> Iterator[tuple[Picture, npt.NDArray[np.uint8]]]:
    """Yield the first ``most`` targets as one picture each, ``(H, 2 W, 3)``: target, then reconstruction."""
    for picture in result.pictures[:most]:
        both = [read_image(file) for file in (picture.target, picture.reconstruction)]
        pixels = [(image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8) for image in both]
        yield picture, np.concatenate(pixels, 1)
