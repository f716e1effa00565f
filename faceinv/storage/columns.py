"""Names of the columns of scores, in the rows of a cell and in its record."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_BASELINE = re.compile(r"_(floor|other|ceiling)(?=:|$)")
_SUCCESS = re.compile(r"success_type(?P<type>[12])@(?P<fmr>[^:]+):(?P<role>.+)")


class SuccessColumn(NamedTuple):
    """A column that says which reconstructions are accepted."""

    type: str
    """``"I"`` or ``"II"``."""
    fmr: str
    """False match rate, such as ``"0.001"``."""
    role: str
    """Role of the encoder."""


def success_column(name: str) -> SuccessColumn | None:
    """Return what a column of attack success is about, or ``None`` if it is another column."""
    match = _SUCCESS.fullmatch(name)
    return SuccessColumn("I" * int(match["type"]), match["fmr"], match["role"]) if match else None


def baseline(column: str) -> str:
    """Return ``"floor"``, ``"other"`` or ``"ceiling"`` if a column is the baseline of another one, else nothing."""
    match = _BASELINE.search(column)
    return match[1] if match else ""


def base_column(column: str) -> str:
    """Return the column that a baseline belongs to: ``id_sim_critic`` for ``id_sim_critic_floor``."""
    return _BASELINE.sub("", column)


def check_rows(rows: Mapping[str, Sequence[Any]], n: int) -> None:
    """Raise ``ValueError`` unless ``rows`` are the rows of a record with ``n`` targets."""
    if "target" not in rows or len(rows["target"]) != n:
        raise ValueError(f"the record has n = {n}, and the rows {len(rows.get('target', ()))} targets")
    for name, values in rows.items():
        if len(values) != n:
            raise ValueError(f"the column '{name}' has {len(values)} values for {n} targets")
        numeric = all(value is None or isinstance(value, int | float) for value in values)
        if not numeric and name not in ("target", "identity"):
            raise ValueError(f"the column '{name}' is not numeric")
