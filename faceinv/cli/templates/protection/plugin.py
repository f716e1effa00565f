"""The declarations of this plugin."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import ProtectionSpec


@hookimpl
def faceinv_protections() -> list[ProtectionSpec]:
    """Declare the protection: who has a key, what a template consists of, and the best attack known."""
    return [
        ProtectionSpec(
            name="my-template",
            summary="Signs of projections on Gaussian directions drawn from a person's key",
            target="my_template.protection:MyProtection",
            licence="LICENCE",
            keys="person",
            output="binary",
            comparison="hamming",
            differentiable=False,
            attack="a linear map learnt from pairs",
            ranges={"bits": (1, 4096)},
        )
    ]
