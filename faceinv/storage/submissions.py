"""A submission: the finished cells of a run in one file, to be published, checked and compared; without pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from faceinv.errors import InputError
from faceinv.storage.columns import check_rows
from faceinv.storage.records import SCHEMA, FinishedCell
from faceinv.storage.schema import Model, Number, checksum, finite, read_content, reason_of

#: What the file says it is.
FORMAT = "faceinv submission"
#: Schema of submissions. Raise it when old readers can no longer read what is written.
SUBMISSION_SCHEMA = 1


class SubmittedCell(Model):
    """A finished cell."""

    record: FinishedCell
    """Its record: config, hashes of weights, code and pictures, plugins with their versions, scores."""
    rows: dict[str, list[str | Number | None]]
    """Its values, one per target, by column, as in the Parquet file."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_rows(self.rows, self.record.n)
        if self.record.schema_number != SCHEMA:
            raise ValueError(f"cell {self.record.id} has schema {self.record.schema_number}; only {SCHEMA} is accepted")
        return self


class Submission(Model):
    """Results that somebody publishes, with what others need to check them: scores, and hashes of all pictures."""

    format: Literal["faceinv submission"]
    """``faceinv submission``."""
    schema_number: Annotated[Literal[1], Field(alias="schema")]
    """Schema of the file."""
    cells: Annotated[list[SubmittedCell], Field(min_length=1, max_length=10_000)]
    """The cells."""
    checksum: str
    """SHA-256 of the other keys. A file that was edited since is not used."""


def submission_text(cells: Sequence[tuple[FinishedCell, dict[str, Any]]]) -> str:
    """Return the content of a submission with these records and rows."""
    content: dict[str, Any] = {
        "format": FORMAT,
        "schema": SUBMISSION_SCHEMA,
        "cells": [{"record": record.as_json(), "rows": finite(rows)} for record, rows in cells],
    }
    return json.dumps(content | {"checksum": checksum(content)}, ensure_ascii=False) + "\n"


def read_submission(path: Path) -> Submission:
    """Return the submission in a file from anybody.

    Raises:
        InputError: if the file cannot be read, is too large, is not a submission, was edited or has another schema.
    """
    try:
        content = read_content(path, path.parent)
        if content.get("format") != FORMAT:
            raise ValueError("'faceinv submit RUN' writes one")
        if content.get("schema") != SUBMISSION_SCHEMA:
            raise ValueError(f"it has schema {content.get('schema')!r}; this version reads {SUBMISSION_SCHEMA}")
        found = Submission.model_validate(content)
        for item, cell in zip(content["cells"], found.cells, strict=True):
            if checksum(item["record"]) != cell.record.checksum:
                raise ValueError(f"the record of cell {cell.record.id} was edited (its checksum differs)")
    except ValidationError as error:
        raise InputError(f"'{path}' is not a submission: {reason_of(error)}.") from None
    except json.JSONDecodeError as error:
        raise InputError(f"'{path}' is not a submission: it is cut off, or not JSON ({error}).") from None
    except ValueError as error:
        raise InputError(f"'{path}' is not a submission: {error}.") from None
    return found
