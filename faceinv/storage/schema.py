"""Base, types and helpers of the models of records, and how their files are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from faceinv.storage.regular import open_inside

#: Largest record that is read, in bytes.
LARGEST = 100_000_000

#: A name that is safe as the name of a file.
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=200)]
FileStem = Annotated[str, Field(pattern=r"^[^/\x00]*[^/\x00.][^/\x00]*$", max_length=255)]
#: SHA-256 of a file, by its name.
Digests = dict[FileStem, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]
Count = Annotated[int, Field(ge=0, le=2**53)]
Positive = Annotated[int, Field(ge=1, le=2**53)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=1e12)]
#: Longer than any number that a page can show, shorter than what overflows in sums and squares.
Number = Annotated[float, Field(ge=-1e100, le=1e100)]
Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class Model(BaseModel):
    """Base of all models: strict, immutable, and without loss of keys that it does not know."""

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    def as_json(self) -> dict[str, Any]:
        """Return the keys that were given, as JSON has them."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Interval(Model):
    """A mean with its 95 % interval; ``null`` stands for a number that does not exist."""

    mean: Number | None
    """Mean over the items."""
    low: Number | None
    """Lower end of the interval; ``null`` for fewer than two items."""
    high: Number | None
    """Upper end."""


class MetricSummary(Interval):
    """A metric's mean over the targets, with its percentile bootstrap interval."""

    n: Count
    """Targets that have a value."""
    people: Count = 0
    """People that these targets are of, if some have several: the interval is over people then."""
    unit: str
    """Unit of the metric; ``1`` for a pure number."""
    higher_is_better: bool
    """Direction, from the attacker's point of view."""
    encoder: str = ""
    """Encoder that the metric reads, if it reads one."""


def finite(value: Any) -> Any:
    """Return ``value`` as JSON has it: lists for tuples, ``None`` for NaN and infinities, and text that is UTF-8."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, str):
        return utf8(value)
    if isinstance(value, Mapping):
        return {utf8(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def utf8(text: str) -> str:
    """Return ``text`` with escapes such as ``\\xff`` for bytes of file names that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def checksum(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the content of a record, without what differs between two computations of it."""
    omitted = ("seconds", "environment", "plugins", "checksum")
    rest = {key: value for key, value in content.items() if key not in omitted}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def reason_of(error: ValidationError) -> str:
    """Return what is wrong with a record in one line: where, what and how much more."""
    first, *others = error.errors(include_url=False)
    where = ".".join(map(str, first["loc"]))
    given = repr(first["input"])
    text = f"{where}: " if where else ""
    text += f"{first['msg']}, got {given if len(given) <= 60 else given[:57] + '...'}"
    return f"{text} ({len(others)} more)" if others else text


M = TypeVar("M", bound=Model)


def read_content(path: Path, run: Path) -> dict[str, Any]:
    """Return the content of the record ``path`` in the folder ``run``.

    Raises:
        ValueError: if it cannot be read, or was changed; the message is one line without the file's name.
    """
    try:
        with open_inside(run, path) as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise ValueError(f"larger than {LARGEST:,} bytes")
        content = json.loads(text.decode("utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"a record is a mapping, got {type(content).__name__}")
        if content.get("checksum", "") not in ("", checksum(content)):
            raise ValueError("it was changed after it was written (its checksum differs)")
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return content


def validated(kind: type[M], content: Mapping[str, Any], name: str) -> M:
    """Return the record with this content, which lies in the file ``name``.

    Raises:
        ValueError: if it is no record of this kind, or another's.
    """
    try:
        record = kind.model_validate(content)
    except ValidationError as error:
        raise ValueError(reason_of(error)) from None
    if content["id"] != name:
        raise ValueError(f"its id is '{content['id']}', and the file belongs to '{name}'")
    return record
