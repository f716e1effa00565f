"""The declarations of this plugin."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import ReporterSpec


@hookimpl
def faceinv_reporters() -> list[ReporterSpec]:
    """Declare the reporter; its keyword arguments are its options."""
    return [
        ReporterSpec(
            name="my-template",
            summary="A line of JSON for each event of a run",
            target="my_template.reporter:MyReporter",
            licence="LICENCE",
        )
    ]
