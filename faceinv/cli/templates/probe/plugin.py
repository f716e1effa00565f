"""What this plugin declares."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import ProbeSpec


@hookimpl
def faceinv_probes() -> list[ProbeSpec]:
    """Declare the probe; since it is measurable, it is a loss under the same name."""
    return [
        ProbeSpec(
            name="my-template",
            summary="Brightness of the left and of the right half",
            target="my_template.probe:MyProbe",
            licence="LICENCE",
            measurable=True,
            unit="grey levels",
        )
    ]
