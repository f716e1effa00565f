"""Check what a submission says: its pictures by their hashes, its scores by computing them again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceinv.bench.cell import Cell
from faceinv.bench.judge import Judgement
from faceinv.bench.naming import scoring_code
from faceinv.bench.record import summary
from faceinv.bench.rescoring import Kept, Rescorer
from faceinv.errors import InputError
from faceinv.plugins.code import core_hash
from faceinv.plugins.host import Host
from faceinv.storage.columns import baseline
from faceinv.storage.run_folder import RunFolder
from faceinv.storage.schema import finite
from faceinv.storage.submissions import SubmittedCell

#: Digits of a score that must agree for it to hold: those that tables print, and one more.
LEAST = 4
#: Digits of agreement that stand for equal numbers.
ALL = 17


@dataclass(frozen=True)
class Checked:
    """A score that was computed again.

    Args:
        score: Column of scores, or name of a protocol.
        submitted: The submitted mean, if the score has one.
        recomputed: The recomputed mean.
        digits: Digits that agree in every target's value, in the mean and in its interval, counted from the first digit
            of the largest value; :data:`ALL` if all of them are equal.
    """

    score: str
    submitted: float | None
    recomputed: float | None
    digits: int

    @property
    def holds(self) -> bool:
        """Whether enough digits agree."""
        return self.digits >= LEAST


def pictures_of(submitted: SubmittedCell, given: Path) -> Kept:
    """Return the pictures of a submitted cell.

    Args:
        submitted: The cell.
        given: Its run folder, a folder with a folder of pictures for each cell, or the folder of its pictures.

    Raises:
        InputError: if there are none.
    """
    name = submitted.record.id
    for folder in (RunFolder(given).images_folder(name), given / name, given):
        if (folder / "00000.png").is_file():
            return Kept(submitted.record, submitted.rows, given, folder)
    raise InputError(
        f"'{given}' has no pictures of cell {name}: neither cells/{name}/00000.png, {name}/00000.png nor 00000.png."
    )


def check_pictures(kept: Kept) -> None:
    """Compare targets and reconstructions with their hashes.

    Raises:
        InputError: if one is missing, was changed, or is not in the record.
    """
    wrong: list[str] = []
    for name in (f"{row:05d}{what}.png" for row in range(kept.record.n) for what in ("-target", "")):
        try:
            kept.content(name)
        except InputError as error:
            wrong.append(str(error))
    if wrong:
        more = f" ({len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputError(f"{wrong[0]}{more}")


def check_scores(kept: Kept, rescorer: Rescorer, host: Host, cell: Cell, label: str) -> Iterator[Checked]:
    """Yield each score of a submitted cell, computed again from its pictures.

    Args:
        kept: The pictures.
        rescorer: Scores them.
        host: The plugins.
        cell: The cell.
        label: Label of the progress.

    Raises:
        InputError: if a picture or the data set is missing or was changed.
    """
    found = rescorer.scores(kept, cell, label)
    columns = {**found.columns, **found.protocol_columns}
    for name in dict.fromkeys((*kept.record.metrics, *found.columns)):
        if baseline(name) == "ceiling":
            # It depends on what the attack was trained on, which pictures do not show.
            continue
        before = kept.record.metrics.get(name)
        values = found.columns.get(name)
        now = summary(host, cell, name, values, kept.targets.identities) if values else {}
        pairs = [*_pairs(kept.rows.get(name, ()), finite(values or ()))]
        pairs += [(getattr(before, key, None), finite(now.get(key))) for key in ("mean", "low", "high", "n")]
        yield Checked(name, before.mean if before else None, finite(now.get("mean")), digits_held(pairs))
    for name, rows in found.protocols.items():
        own = [column for column in {**kept.rows, **columns} if _is_of(column, name, found, kept)]
        pairs = [pair for column in own for pair in _pairs(kept.rows.get(column, ()), finite(columns.get(column, ())))]
        pairs += _pairs(_numbers(kept.record.as_json().get(name)), _numbers(finite(list(rows))))
        yield Checked(name, None, None, digits_held(pairs))


def differences(kept: Kept, rescorer: Rescorer, host: Host, cell: Cell) -> list[str]:
    """Return what differs between the code and weights that scored a cell and those here, one sentence each."""
    record, texts = kept.record, []
    for key, now in scoring_code(host, cell).items():
        before = record.code.get(key)
        if before != now and not (key == "faceinv" and before == core_hash()):
            plugin = record.plugins.get(key)
            texts.append(f"Here the code of {key} is not what scored the submission{f' ({plugin})' if plugin else ''}.")
    for name, value in rescorer.weights(kept, cell).items():
        if name in record.weights and record.weights[name] != value:
            texts.append(f"Here the weights {name} are not those that scored the submission.")
    return texts


def digits_held(pairs: Sequence[tuple[float | None, float | None]]) -> int:
    """Return the number of digits that agree in all pairs, counted from the first one of the largest number."""
    if any((a is None) != (b is None) for a, b in pairs):
        return 0
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    worst = max((abs(a - b) for a, b in both), default=0.0)
    if not worst:
        return ALL
    largest = max(max(abs(a), abs(b)) for a, b in both)
    return max(0, min(ALL - 1, math.floor(math.log10(largest / worst))))


def _pairs(before: Sequence[Any], now: Sequence[Any]) -> list[tuple[float | None, float | None]]:
    """Return pairs of values; a value without a partner has ``None``, and a sequence of its own none at all."""
    if len(before) != len(now):
        return [(0.0, None)]
    return list(zip(before, now, strict=True))


def _numbers(content: Any) -> list[float]:
    """Return every number in a JSON value, in order."""
    if isinstance(content, Mapping):
        return [number for key in sorted(content) for number in _numbers(content[key])]
    if isinstance(content, list):
        return [number for item in content for number in _numbers(item)]
    return [float(content)] if isinstance(content, int | float) else []


def _is_of(column: str, protocol: str, found: Judgement, kept: Kept) -> bool:
    """Return whether a column of the rows, old or new, is a protocol's: it begins with the protocol's name."""
    return column.startswith(f"{protocol}_") and column not in found.columns and column not in kept.record.metrics
