"""The declarations of this plugin."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import ProbeSpec


@hookimpl
def faceinv_probes() -> list[ProbeSpec]:
    """Declare the probe; because it is measurable, it is also a loss of the same name."""
    return [
        ProbeSpec(
            name="my-template",
            summary="Brightness of the left and the right half",
            target="my_template.probe:MyProbe",
            licence="LICENCE",
            measurable=True,
            unit="grey levels",
        )
    ]
