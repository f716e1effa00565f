"""The framing of photographs aligned like FFHQ.

FFHQ's rule (Karras et al. 2019, appendix A; code in the data set's repository): let E be the distance between the
centres of the eyes, and M the distance from the midpoint of the eyes to the midpoint of the mouth corners. The frame is
a square of side max(4 E, 3.6 M), centred 0.1 M below the midpoint of the eyes. The mean points are published with
facexlib, which restores FFHQ faces, in pixels of a 512-pixel frame, with (0, 0) at the centre of the first pixel. They
agree with the rule: E = 125.9 and M = 131.2 give a side of 503.7 ≈ 512 (the mean of a maximum exceeds the maximum of
the means), and put the midpoint of the eyes 0.1 M = 13.1 above the centre, at 242.4, against 240.1 measured.
"""

from __future__ import annotations

from faceinv.contracts import Framing, Point

_SIDE = 512
_PIXELS = (
    (192.98138, 239.94708),
    (318.90277, 240.1936),
    (256.63416, 314.01935),
    (201.26117, 371.41043),
    (313.08905, 371.15118),
)


def framing(resolution: int) -> Framing:
    """Return FFHQ's framing for square images of side ``resolution``, in pixels."""
    return Framing(name=f"ffhq-{resolution}", size=(resolution, resolution), points=_POINTS)


def _fraction(pixel: tuple[float, float]) -> Point:
    return (pixel[0] + 0.5) / _SIDE, (pixel[1] + 0.5) / _SIDE


_POINTS = (
    _fraction(_PIXELS[0]),
    _fraction(_PIXELS[1]),
    _fraction(_PIXELS[2]),
    _fraction(_PIXELS[3]),
    _fraction(_PIXELS[4]),
)
