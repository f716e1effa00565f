"""A plugin for ``--plugin``: a probe that reads the brightness upside down, worse than guessing its mean."""

from __future__ import annotations

from torch import Tensor

from faceinv import hookimpl
from faceinv.contracts import ProbeSpec
from faceinv.testing.toy_networks import BrightnessProbe


@hookimpl
def faceinv_probes() -> list[ProbeSpec]:
    return [
        ProbeSpec(
            name="upside-down", summary="Brightness", target="toy_misread:UpsideDown", licence="MIT",
            measurable=True, unit="grey levels",
        )
    ]  # fmt: skip


class UpsideDown(BrightnessProbe):
    """Measures the brightness of an image, and takes the opposite of what its head reads."""

    def constrain(self, raw: Tensor) -> Tensor:
        """Return the opposite of ``raw`` ``(B, 3)``."""
        return 1 - raw
