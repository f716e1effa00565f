"""The landmark loss, equation (2), in the units of each preset."""

from __future__ import annotations

from faceinv.attack import AttributeLoss
from faceinv.contracts import Framing, LossContext
from faceinv.errors import PluginError
from faceinv_landmarks.probe import LandmarksProbe

#: Side of the paper's images in pixels (section 3), and the distance of the eyes in its crop, which is VGGFace2's.
SIDE, EYES = 224.0, 90.0


class LandmarkLoss(AttributeLoss):
    """Squared distance to the landmarks read from the descriptor, summed over the 68 points.

    In pixels of the paper's crop under ``"paper"``: of a picture scaled so that the eyes are 90 pixels apart. In pixels
    of the generator's frame, scaled to a side of 224, under ``"paper-literal"``.

    Args:
        context: Preset, probe and its reader.
    """

    def __init__(self, context: LossContext) -> None:
        if not isinstance(context.probe, LandmarksProbe):
            raise PluginError("The landmark loss needs the probe 'landmarks' in its LossContext.")
        super().__init__(context, units={"paper": crop_pixels(context.probe.framing), "paper-literal": SIDE})


def crop_pixels(framing: Framing) -> float:
    """Return the width of a frame in pixels of the paper's crop."""
    left, right, *_ = framing.points
    return EYES / (right[0] - left[0])
