"""The protections that this plugin declares."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import ProtectionSpec


@hookimpl
def faceinv_protections() -> list[ProtectionSpec]:
    return [
        ProtectionSpec(
            name="quantise",
            summary="Every number of the descriptor on 2^bits levels; one bit is above or below the median",
            target="faceinv_protections.quantise:Quantise",
            licence="MIT",
            output="symbols",
            comparison="cosine",
            differentiable=False,
            attack="L-BFGS on the logistic distance to the levels",
            strength="bits",
            ranges={"bits": (1, 8)},
        ),
        ProtectionSpec(
            name="biohash",
            summary="Signs of projections on orthonormal directions drawn from a person's key",
            target="faceinv_protections.biohash:BioHash",
            licence="MIT",
            citation="Teoh, Goh, Ngo: Random multispace quantization as an analytic mechanism for BioHashing of "
            "biometric and random identity inputs, TPAMI 2006",
            keys="person",
            output="binary",
            comparison="hamming",
            differentiable=False,
            attack="L-BFGS on the logistic loss of the bits",
            strength="bits",
            ranges={"bits": (1, "dim")},
        ),
    ]
