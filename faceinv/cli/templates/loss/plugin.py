"""The declarations of this plugin."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import LossSpec


@hookimpl
def faceinv_losses() -> list[LossSpec]:
    """Declare the loss, with its weight under each objective preset."""
    return [
        LossSpec(
            name="my-template",
            summary="One minus the cosine similarity to the target descriptor",
            target="my_template.loss:MyLoss",
            licence="LICENCE",
            preset_weights={"paper": 1.0, "balanced": 1.0},
        )
    ]
