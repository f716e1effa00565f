"""The attributes "skin-colour", "background-colour" and "illumination", weighted sums of pixels."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from faceinv.contracts import Framing, Probe, check_images
from faceinv_attributes.regions import background_mask, shading_weights, skin_mask

#: Luminance of red, green and blue (ITU-R BT.601, the usual weights for gamma-encoded values).
LUMA = (0.299, 0.587, 0.114)


class MeanColour(Probe):
    """Mean red, green and blue of one region of the frame, each in ``[0, 1]``.

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
        """Return the root mean square difference over the channels in 8-bit levels, ``(B,)``."""
        return 255 * (predicted - truth).square().mean(1).sqrt()

    def constrain(self, raw: Tensor) -> Tensor:
        """Clip a head's output ``(B, 3)`` to valid colours."""
        return raw.clamp(0, 1)

    def mirror(self, attribute: Tensor) -> Tensor:
        """Return ``attribute``: the regions are nearly symmetric in every framing."""
        return attribute


class IlluminationProbe(Probe):
    """Direction of the light: how much brighter the right and the lower side of the face are than its middle.

    The slope of the face's luminance over the normals of an ellipsoid, across and down, divided by the mean
    luminance: ``(0.3, -0.5)`` is a light from the image's right and from above. The division removes the exposure;
    skin colour, a beard or the eyes contribute nearly the same under every light.

    Args:
        framing: Where the face sits in the images.
    """

    shape = (2,)

    def __init__(self, *, framing: Framing) -> None:
        self.framing = framing
        # Luminance is linear, so it is folded into the weights: one matrix product measures both.
        luma = torch.tensor(LUMA)[:, None, None]
        self.weights = (shading_weights(framing)[:, None] * luma).flatten(1)

    def label(self, images: Tensor) -> Tensor:
        """Return the shading ``(B, 2)`` of ``images`` ``(B, 3, H, W)``."""
        return self.measure(images)

    def measure(self, images: Tensor) -> Tensor:
        """Return the shading ``(B, 2)`` of ``images`` ``(B, 3, H, W)``, differentiable in them."""
        check_images(images, self.framing.size)
        fitted = images.flatten(1) @ self.weights.to(images).T
        # One level of 255 keeps the quotient finite in a black image.
        return fitted[:, :2] / fitted[:, 2:].clamp_min(1 / 255)

    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the distance of two shadings, ``(B,)``."""
        distance: Tensor = (predicted - truth).norm(dim=1)
        return distance

    def mirror(self, attribute: Tensor) -> Tensor:
        """Return the shading ``(B, 2)`` of the mirror images."""
        return attribute * attribute.new_tensor([-1.0, 1.0])
