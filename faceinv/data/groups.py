"""Groups of people or photographs, by which scores are compared: from a labels file, annotations or measurements."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from faceinv.contracts.data import Dataset
from faceinv.data.labels import UNKNOWN, read_cells, rows_of_images
from faceinv.errors import unknown_name

#: Lower ends of the bands of a numeric column named ``age``, in years.
AGES = (18.0, 30.0, 45.0, 60.0)
#: A numeric column with more values than this is cut into thirds.
_MOST_VALUES = 6


@dataclass(frozen=True)
class Grouping:
    """The group of each image by one property.

    Args:
        name: The property, such as ``"sex"``.
        of_image: Group of each image whose property is known, by the image's id.
        source: Where the property comes from, for readers.
        predicted: Whether a network predicted it.
        error: How wrong the prediction is where true labels exist, in a sentence; empty if it is not known.
    """

    name: str
    of_image: Mapping[str, str] = field(repr=False)
    source: str
    predicted: bool = False
    error: str = ""

    def of(self, images: Sequence[str]) -> list[str | None]:
        """Return the group of each image; ``None`` if it is not known."""
        return [self.of_image.get(image) for image in images]


def columns_of_file(path: Path, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the known values of every column of a labels file, by column and image.

    Args:
        path: CSV file with a column ``image``; other columns may hold text or numbers.
        ids: The images.

    Raises:
        InputError: the file is not a labels file.
    """
    images, columns = read_cells(path)
    rows = rows_of_images(images, ids)
    return {
        name: worded(
            {
                image: cells[row]
                for image, row in zip(ids, rows, strict=True)
                if row >= 0 and cells[row].lower() not in UNKNOWN
            },
            name,
        )
        for name, cells in columns.items()
    }


def columns_of_annotations(dataset: Dataset) -> dict[str, dict[str, str]]:
    """Return the known annotations of a data set, by name and image."""
    return {
        name: column_of_numbers(dict(zip(dataset.ids, column.tolist(), strict=True)), name)
        for name, column in dataset.annotations.items()
    }


def column_of_numbers(values: Mapping[str, float], name: str) -> dict[str, str]:
    """Return the known numbers of a column as text, by image."""
    return worded({image: f"{value:.9g}" for image, value in values.items() if value == value}, name)


def worded(values: Mapping[str, str], name: str) -> dict[str, str]:
    """Return a column in which 1 is the ``name`` and 0, or CelebA's −1, its opposite; any other one as it is."""
    for zero in ("0", "-1"):
        if set(values.values()) <= {zero, "1"}:
            return {image: name if value == "1" else f"not {name}" for image, value in values.items()}
    return dict(values)


def grouping(name: str, columns: Mapping[str, Mapping[str, str]], source: str) -> Grouping:
    """Return the groups by a column, in whatever case its name is written.

    Raises:
        UnknownNameError: if there is no such column.
    """
    own = next((column for column in columns if column.casefold() == name.casefold()), None)
    if own is None:
        raise unknown_name("group", name, list(columns))
    return Grouping(own, banded(columns[own], own), source)


def banded(values: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the group of each image: its value; for numbers with many values, the band that it lies in.

    A column named ``age`` has the bands of :data:`AGES`, any other one thirds of its values.
    """
    numbers = _numbers(values)
    if numbers is None:
        return dict(values)
    is_age = name.casefold() == "age"
    if not is_age and len(set(numbers.values())) <= _MOST_VALUES:
        return dict(values)
    edges = AGES if is_age else tuple(np.quantile(list(numbers.values()), [1 / 3, 2 / 3]).tolist())
    titles = [f"under {edges[0]:.4g}"]
    titles += [f"{low:.4g} to {high:.4g}" for low, high in itertools.pairwise(edges)]
    titles += [f"from {edges[-1]:.4g}"]
    return {image: titles[int(np.searchsorted(edges, value, side="right"))] for image, value in numbers.items()}


def _numbers(values: Mapping[str, str]) -> dict[str, float] | None:
    """Return the values as finite numbers; ``None`` if one of them is not a number, or there are none."""
    try:
        numbers = {image: float(value) for image, value in values.items()}
    except ValueError:
        return None
    return numbers if numbers and all(np.isfinite(value) for value in numbers.values()) else None


def prediction_error(predicted: Mapping[str, str], truth: Mapping[str, str]) -> str:
    """Return a sentence on how wrong predicted values are where the truth is known; empty if it is nowhere.

    Numbers are compared by their mean absolute difference, words by how often they differ.
    """
    both = [image for image in predicted if image in truth]
    if not both:
        return ""
    guesses, truths = _numbers({i: predicted[i] for i in both}), _numbers({i: truth[i] for i in both})
    if guesses is not None and truths is not None:
        error = float(np.mean([abs(guesses[image] - truths[image]) for image in both]))
        return f"Where the true value is known (n = {len(both)}), it is off by {error:.1f} on average."
    wrong = sum(predicted[image].casefold() != truth[image].casefold() for image in both)
    return f"Where the true value is known, {wrong} of {len(both)} are wrong ({100 * wrong / len(both):.0f} %)."
