"""Where the face sits in photographs aligned as FFHQ's are.

FFHQ's rule (Karras et al. 2019, appendix A; its code in the data set's repository): with E the
distance between the centres of the eyes and M that from the middle of the eyes to the middle of
the mouth's corners, the frame is a square of side max(4 E, 3.6 M) whose centre lies 0.1 M below
the middle of the eyes. The mean points are published with facexlib, which restores FFHQ faces, in
pixels of 512 with the centre of the first pixel at (0, 0). They obey the rule: E = 125.9 and
M = 131.2 give a side of 503.7 ≈ 512, the mean of a maximum being larger than the maximum of the
means, and put the middle of the eyes 0.1 M = 13.1 above the centre, at 242.4, against 240.1.
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
    """Return FFHQ's framing for square images of this many pixels a side."""
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
