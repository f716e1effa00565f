"""The StyleGAN2 generator, layer by layer (Karras et al. 2019 and 2020), for frozen weights.

The layers are built from the tensors of ``architecture.py``. Images are (B, 3, R, R), about [−1, 1] and not clipped.
Activations are channels-last, which suits convolutions on both CPUs and GPUs. Nothing synchronises with the device and
no control flow depends on tensor values, so a forward and backward pass can be captured in a CUDA graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from faceinv_stylegan2.architecture import Architecture
from faceinv_stylegan2.modulated import GAIN, SLOPE, ModulatedConvolution

#: ε under the root in demodulation and in the normalisation of z.
_EPSILON = 1e-8


class MappingNetwork(nn.Module):
    """Fully connected layers from z ``(B, z)`` to w ``(B, w)`` (Karras et al. 2019, figure 1b)."""

    def __init__(self, tensors: Mapping[str, Tensor], layers: int) -> None:
        super().__init__()
        self.layers = layers
        for i in range(layers):
            self.register_buffer(f"weight{i}", tensors[f"mapping.{i}.weight"])
            self.register_buffer(f"bias{i}", tensors[f"mapping.{i}.bias"])

    def forward(self, z: Tensor) -> Tensor:
        """Return w; z is first scaled to a mean square of 1."""
        x = z * (z.square().mean(1, keepdim=True) + _EPSILON).rsqrt()
        for i in range(self.layers):
            x = F.linear(x, self.get_buffer(f"weight{i}"), self.get_buffer(f"bias{i}"))
            x = F.leaky_relu(x, SLOPE) * GAIN
        return x


class Affine(nn.Module):
    """Affine map from w ``(B, w)`` to the style ``(B, in)`` of one convolution."""

    weight: Tensor
    bias: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], name: str) -> None:
        super().__init__()
        self.register_buffer("weight", tensors[f"{name}.affine.weight"])
        self.register_buffer("bias", tensors[f"{name}.affine.bias"])

    def forward(self, w: Tensor) -> Tensor:
        """Return the style."""
        return F.linear(w, self.weight, self.bias)


class StyledConvolution(nn.Module):
    """A modulated and demodulated 3x3 convolution, with noise, bias and leaky ReLU.

    Args:
        tensors: The generator's tensors.
        name: Prefix of this layer's tensors.
        upsample: Double the side of the image.
        noise: Noise ``(R, R)`` times its strength, or ``None``.
        clamp: Bound of the activations, or ``None``.
        gain: Factor of the result.
    """

    weight: Tensor
    squares: Tensor
    epsilon: Tensor
    bias: Tensor
    noise: Tensor | None
    kernel: Tensor | None

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        name: str,
        *,
        upsample: bool,
        noise: Tensor | None,
        clamp: float | None,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.affine = Affine(tensors, name)
        self.gain = gain * GAIN
        self.clamp = None if clamp is None else clamp * gain
        weight = tensors[f"{name}.weight"]
        # Demodulation cancels the scale of an output's weights, so it can be chosen to avoid overflow in half
        # precision. Scaling ε accordingly makes this exact.
        largest = weight.abs().amax((1, 2, 3)).clamp_min(_EPSILON)
        factor = 1 / (largest * math.sqrt(weight[0].numel()))
        weight = weight * factor[:, None, None, None]
        self.register_buffer("squares", weight.square().sum((2, 3)))
        self.register_buffer("epsilon", _EPSILON * factor.square())
        if upsample:
            weight = weight.transpose(0, 1)
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", tensors[f"{name}.bias"] * self.gain)
        self.register_buffer("noise", None if noise is None else noise * self.gain)
        self.register_buffer("kernel", binomial_kernel(len(self.bias)) if upsample else None)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Return ``(B, out, R, R)`` for ``x`` ``(B, in, R, R)`` (half that side if upsampling) and w ``(B, w)``."""
        with torch.autocast(x.device.type, enabled=False):
            style = self.affine(w)
            # The scale of a style cancels like that of the weights, and so does its gradient.
            factor = 1 / style.detach().abs().amax(1, keepdim=True).clamp_min(_EPSILON)
            style = style * factor
            energy = F.linear(style.square(), self.squares) + self.epsilon * factor.square()
            scale = energy.rsqrt() * self.gain
        dtype = compute_dtype(x)
        cast = [None if t is None else t.to(dtype) for t in (self.weight, self.bias, self.noise, self.kernel)]
        result: Tensor = ModulatedConvolution.apply(x.to(dtype), style.to(dtype), scale.to(dtype), *cast, self.clamp)
        return result


class ToRGB(nn.Module):
    """A modulated 1x1 convolution to three channels, without demodulation."""

    weight: Tensor
    bias: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], name: str, clamp: float | None) -> None:
        super().__init__()
        self.affine = Affine(tensors, name)
        self.clamp = clamp
        self.register_buffer("weight", tensors[f"{name}.weight"])
        self.register_buffer("bias", tensors[f"{name}.bias"])

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Return ``(B, 3, R, R)`` for ``x`` ``(B, C, R, R)`` and w ``(B, w)``."""
        with torch.autocast(x.device.type, enabled=False):
            weights = self.weight * self.affine(w)[:, None]
            # A 1x1 convolution is a matrix product; channels-last, x already has that layout.
            pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
            image = torch.matmul(pixels, weights.to(x.dtype).transpose(1, 2)).to(w.dtype) + self.bias
        image = image.reshape(len(x), *x.shape[2:], 3).permute(0, 3, 1, 2)
        return image if self.clamp is None else image.clamp(-self.clamp, self.clamp)


class Residual(nn.Module):
    """The shortcut of a residual block: a 1x1 convolution, then upsampling."""

    weight: Tensor
    kernel: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], name: str, gain: float) -> None:
        super().__init__()
        weight = tensors[f"{name}.skip.weight"] * gain
        self.register_buffer("weight", weight[:, :, None, None].contiguous(memory_format=torch.channels_last))
        self.register_buffer("kernel", binomial_kernel(len(weight)))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, out, 2R, 2R)`` for ``x`` ``(B, in, R, R)``."""
        return upsample(F.conv2d(x, self.weight.to(x.dtype)), self.kernel)


class Block(nn.Module):
    """All layers of one side: one convolution at 4x4 and two above, and the image if this block makes one."""

    const: Tensor | None
    kernel: Tensor

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        architecture: Architecture,
        side: int,
        noise: Mapping[str, Tensor],
        clamp: float | None,
    ) -> None:
        super().__init__()
        name = f"synthesis.{side}"
        is_residual = architecture.kind == "resnet" and side > 4
        gain = math.sqrt(0.5) if is_residual else 1.0
        self.register_buffer("const", tensors[f"{name}.const"] if side == 4 else None)
        self.conv0 = None
        if side > 4:
            layer = f"{name}.conv0"
            self.conv0 = StyledConvolution(tensors, layer, upsample=True, noise=noise.get(layer), clamp=clamp)
        layer = f"{name}.conv1"
        self.conv1 = StyledConvolution(tensors, layer, upsample=False, noise=noise.get(layer), clamp=clamp, gain=gain)
        self.skip = Residual(tensors, name, gain) if is_residual else None
        self.torgb = ToRGB(tensors, f"{name}.torgb", clamp) if architecture.has_torgb(side) else None
        self.register_buffer("kernel", binomial_kernel(3))

    def forward(self, x: Tensor | None, image: Tensor | None, ws: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the activations and image of this side.

        Args:
            x: Activations of half the side; ``None`` at 4x4.
            image: Image of half the side, if there is one.
            ws: ``(B, n, w)``: a row for each convolution, and one for the image.
        """
        row = 0
        shortcut = None
        if self.const is not None:
            x = self.const.expand(len(ws), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        assert x is not None
        if self.skip is not None:
            shortcut = self.skip(x)
        if self.conv0 is not None:
            x = self.conv0(x, ws[:, row])
            row += 1
        x = self.conv1(x, ws[:, row])
        if shortcut is not None:
            x = x + shortcut
        if image is not None:
            image = upsample(image, self.kernel)
        if self.torgb is not None:
            added = self.torgb(x, ws[:, row + 1])
            image = added if image is None else image + added
        return x, image


class SynthesisNetwork(nn.Module):
    """From w+ ``(B, rows, w)`` to images ``(B, 3, R, R)``.

    Args:
        tensors: The generator's tensors.
        architecture: The generator's sizes.
        noise: Noise ``(R, R)`` of each layer times its strength; empty for none.
        checkpoint_activations: In a backward pass, recompute activations image by image instead of keeping them: a
            batch then takes little more memory than one image.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        architecture: Architecture,
        noise: Mapping[str, Tensor],
        *,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        clamp = float(tensors["synthesis.clamp"]) if "synthesis.clamp" in tensors else None
        self.checkpoint_activations = checkpoint_activations
        self.blocks = nn.ModuleList(
            Block(tensors, architecture, side, noise, clamp) for side in architecture.resolutions
        )

    def forward(self, ws: Tensor) -> Tensor:
        """Return images for ``ws`` ``(B, rows, w)``."""
        if not (self.checkpoint_activations and torch.is_grad_enabled() and ws.requires_grad):
            return self._images(ws)
        # Image by image rather than block by block: the last layer alone needs half the memory of all layers, so
        # recomputing blocks would save almost nothing.
        images = [checkpoint(self._images, row, use_reentrant=False, preserve_rng_state=False) for row in ws.split(1)]
        return torch.cat(images)

    def _images(self, ws: Tensor) -> Tensor:
        x: Tensor | None = None
        image: Tensor | None = None
        row = 0
        for block in self.blocks:
            convolutions = 1 if row == 0 else 2
            # A block's image shares its row with the first convolution of the next.
            x, image = block(x, image, ws[:, row : row + convolutions + 1])
            row += convolutions
        assert image is not None
        return image


def binomial_kernel(channels: int) -> Tensor:
    """Return the separable filter 1 3 3 1 for ``channels`` separate channels, ``(C, 1, 4, 4)``.

    Upsampling by two inserts zeros between the pixels, so the filter sums to 4 (Karras et al. 2019, 4.1).
    """
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    return torch.outer(row, row).repeat(channels, 1, 1, 1)


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """Return ``x`` ``(B, C, R, R)`` at twice the side: zeros inserted, then filtered."""
    return F.conv_transpose2d(x, kernel.to(x.dtype), stride=2, padding=1, groups=len(kernel))


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the type of the convolutions: autocast's if it is enabled, otherwise that of ``x``."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
