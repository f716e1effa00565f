"""The declarations of this plugin."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import MethodSpec


@hookimpl
def faceinv_methods() -> list[MethodSpec]:
    """Declare the method and the access to the attacked encoder that it needs."""
    return [
        MethodSpec(
            name="my-template",
            summary="Random search that keeps the steps that help",
            target="my_template.method:MyMethod",
            licence="LICENCE",
            access="scores",
            offline="pairs",
        )
    ]
