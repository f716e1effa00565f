"""The attributes "skin-colour", "background-colour" and "illumination": weighted sums of pixels."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from faceinv.contracts import Framing, Probe, check_images
from faceinv_attributes.regions import background_mask, shading_weights, skin_mask

#: Luminance of red, green and blue (ITU-R BT.601, the usual weights for gamma-encoded values).
LUMA = (0.299, 0.587, 0.114)


class MeanColour(Probe):
    """Mean red, green and blue, each in ``[0, 1]``, of one region of the frame.

    Args:
        framing: Where the face sits in the images.
        region: ``"skin"`` or ``"background"``.
    """

    shape = (3,)
    regions: ClassVar = {"skin": skin_mask, "background": background_mask}

    def __init__(self, *, framing: Framing, region: str) -> None:
        self.framing = framing
        self.mask: Tensor = self.regions[region](framing)

    def label(self, images: Tensor) -> Tensor:
        """Return the mean colours ``(B, 3)`` of ``images`` ``(B, 3, H, W)``."""
        return self.measure(images)

    def measure(self, images: Tensor) -> Tensor:
        """Return the mean colours ``(B, 3)`` of ``images`` ``(B, 3, H, W)``; linear in them."""
        check_images(images, self.framing.size)
        return torch.einsum("bchw,hw->bc", images, self.mask.to(images))

    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the distance of two colours in 8-bit levels, root mean square over the channels, ``(B,)``."""
        return 255 * (predicted - truth).square().mean(1).sqrt()

    def constrain(self, raw: Tensor) -> Tensor:
        """Clip a head's output ``(B, 3)`` to colours that exist."""
        return raw.clamp(0, 1)

    def mirror(self, attribute: Tensor) -> Tensor:
        """Return ``attribute``: the regions are symmetric enough in every framing."""
        return attribute


class IlluminationProbe(Probe):
    """Where the light comes from: how much brighter the face's right and lower side are than its middle.

    The slope of the face's luminance over the normals of an ellipsoid, divided by its mean, across and down:
    ``(0.3, -0.5)`` is a light from the image's right and above. Dividing takes out the exposure; what the skin's
    colour, a beard or the eyes add is nearly the same for every light.

    Args:
        framing: Where the face sits in the images.
    """

    shape = (2,)

    def __init__(self, *, framing: Framing) -> None:
        self.framing = framing
        # Luminance is linear too: folded into the weights, the measure is one matrix product.
        luma = torch.tensor(LUMA)[:, None, None]
        self.weights = (shading_weights(framing)[:, None] * luma).flatten(1)

    def label(self, images: Tensor) -> Tensor:
        """Return the shading ``(B, 2)`` of ``images`` ``(B, 3, H, W)``."""
        return self.measure(images)

    def measure(self, images: Tensor) -> Tensor:
        """Return the shading ``(B, 2)`` of ``images`` ``(B, 3, H, W)``, differentiable in them."""
        check_images(images, self.framing.size)
        fitted = images.flatten(1) @ self.weights.to(images).T
        # A black image has no shading; one level of 255 keeps the quotient finite.
        return fitted[:, :2] / fitted[:, 2:].clamp_min(1 / 255)

    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the distance of two shadings, ``(B,)``."""
        distance: Tensor = (predicted - truth).norm(dim=1)
        return distance

    def mirror(self, attribute: Tensor) -> Tensor:
        """Return the shading ``(B, 2)`` of the mirror images."""
        return attribute * attribute.new_tensor([-1.0, 1.0])
