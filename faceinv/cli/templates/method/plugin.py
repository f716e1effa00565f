"""What this plugin declares."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import MethodSpec


@hookimpl
def faceinv_methods() -> list[MethodSpec]:
    """Declare the method, and what it needs of the attacked encoder."""
    return [
        MethodSpec(
            name="my-template",
            summary="Random steps that are kept where they help",
            target="my_template.method:MyMethod",
            licence="LICENCE",
            access="scores",
            offline="pairs",
        )
    ]
