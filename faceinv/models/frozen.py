"""Convolutions and PReLUs that are never trained: the gradient to their input alone, at a forward pass's price.

The gradient of a convolution to its input is a convolution again, with the kernel turned around and its
channels exchanged; with a stride, a transposed one. Libraries tune their forward kernels most, so the backward
pass is made of those, and nothing is kept for a gradient to weights that nobody asks for.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: A strided transposed convolution to fewer channels than this leaves a library's own kernels idle.
_FEW = 8

Network = TypeVar("Network", bound=nn.Module)


def freeze(network: Network) -> Network:
    """Replace, in place, the convolutions and PReLUs below ``network`` by frozen ones; return ``network``.

    Parameters keep their names and their memory. Layers without a frozen counterpart stay: those dilated,
    padded by something else than zeros, of unequal sides, in groups of several channels, or of a class that
    derives from PyTorch's.
    """
    for name, layer in list(network.named_children()):
        if type(layer) is nn.PReLU:
            network.register_module(name, FrozenPReLU(layer))
        elif type(layer) is nn.Conv2d or type(layer) is nn.ConvTranspose2d:
            if _has_counterpart(layer):
                network.register_module(name, FrozenConvolution(layer))
        else:
            freeze(layer)
    network.requires_grad_(False)
    return network


class FrozenConvolution(nn.Module):
    """What a convolution, or a transposed one, computes; differentiable in its input alone, any number of times.

    Args:
        layer: A square convolution of one group, or one for each channel.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.weight = layer.weight.requires_grad_(False)
        self.bias = None if layer.bias is None else layer.bias.requires_grad_(False)
        self.stride, self.padding, self.groups = layer.stride[0], int(layer.padding[0]), layer.groups
        self.transposed = isinstance(layer, nn.ConvTranspose2d)
        self._filter: Filter | None = None
        self._version = 0

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        if not torch.compiler.is_compiling():
            # What a filter makes of the weights holds for as long as they are the same.
            version = 0 if self.weight.is_inference() else self.weight._version
            if self._filter is None or self._version != version:
                self._filter, self._version = self._new_filter(), version
            if not _differentiated(x):
                return self._filter(x, self.bias, None)
        y: Tensor = _Filtered.apply(x, self._filter, self.bias, None)
        return y

    def extra_repr(self) -> str:
        """Say what an ``nn.Conv2d`` says, in short."""
        kind = "transposed, " if self.transposed else ""
        return f"{kind}{tuple(self.weight.shape)}, stride={self.stride}, padding={self.padding}, groups={self.groups}"

    def _new_filter(self) -> Filter:
        return Filter(self.weight, self.stride, self.padding, self.groups, self.transposed)

    def _apply(self, fn: Any, recurse: bool = True) -> FrozenConvolution:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._filter = None
        return self


class FrozenPReLU(nn.Module):
    """PReLU whose slopes ask for no gradient: PyTorch's own backward pass computes theirs all the same.

    Args:
        layer: The PReLU; of one slope, or of one for each channel.
    """

    weight: Tensor

    def __init__(self, layer: nn.PReLU) -> None:
        super().__init__()
        self.weight = layer.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Return x where it is positive, and the channel's slope times x elsewhere."""
        if not _differentiated(x):
            return F.prelu(x, self.weight.to(x.dtype))
        y: Tensor = _PReLU.apply(x, self.weight)
        return y


class Filter:
    """A convolution with a fixed kernel, or a transposed one, as a map that knows its adjoint.

    Args:
        weight: ``(outputs, inputs / groups, k, k)``; of a transposed one ``(inputs, outputs / groups, k, k)``.
        stride: The same along both sides.
        padding: The same on all sides.
        groups: 1, or the number of channels.
        transposed: Whether it is the adjoint of the convolution with this weight.
    """

    def __init__(self, weight: Tensor, stride: int, padding: int, groups: int, transposed: bool) -> None:
        self.weight = weight
        self.stride, self.padding, self.groups, self.transposed = stride, padding, groups, transposed

    def __call__(self, x: Tensor, bias: Tensor | None, size: torch.Size | None) -> Tensor:
        """Return the result for ``x`` ``(B, inputs, H, W)``.

        Args:
            x: The input.
            bias: ``(outputs,)``, added if there is one.
            size: Height and width of the result of a transposed one, where the stride leaves a choice.
        """
        if not self.transposed:
            return _correlate(x, self.weight, bias, self.stride, self.padding, self.groups)
        side = self.weight.shape[2]
        if self.stride == 1 and side > self.padding:
            return _correlate(x, self._turned, bias, 1, side - 1 - self.padding, self.groups)
        least = [(length - 1) * self.stride - 2 * self.padding + side for length in x.shape[2:]]
        beyond = [0, 0] if size is None else [wanted - given for wanted, given in zip(size, least, strict=True)]
        if self.groups == 1 and self.weight.shape[1] < _FEW and max(beyond) <= self.padding:
            return self._by_phases(x, bias, [a + b for a, b in zip(least, beyond, strict=True)])
        if self.groups > 1 and x.device.type == "cpu" and x.itemsize < 4:
            # Libraries have no strided depthwise one for half precision, and loop.
            return self(x.float(), bias, size).to(x.dtype)
        weight, bias = self.weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
        return F.conv_transpose2d(x, weight, bias, self.stride, self.padding, beyond, self.groups)

    @cached_property
    def adjoint(self) -> Filter:
        """The map that takes gradients to what it made to gradients to what it was given."""
        adjoint = Filter(self.weight, self.stride, self.padding, self.groups, not self.transposed)
        adjoint.__dict__["adjoint"] = self
        return adjoint

    @cached_property
    def _turned(self) -> Tensor:
        """The kernel by which a plain convolution of stride 1 does what the transposed one does."""
        weight = self.weight.flip(2, 3)
        return _like(self.weight, weight.transpose(0, 1) if self.groups == 1 else weight)

    @cached_property
    def _phases(self) -> Tensor:
        """The kernels ``(outputs * stride², inputs, u, u)`` that each make one of every ``stride``² results.

        Result ``stride * m + a`` of an unpadded transposed convolution is the sum over u of
        ``x[m - u] * weight[stride * u + a]``.
        """
        stride, (inputs, outputs, side) = self.stride, self.weight.shape[:3]
        taps = -(-side // stride)
        missing = taps * stride - side
        split = F.pad(self.weight, (0, missing, 0, missing)).view(inputs, outputs, taps, stride, taps, stride)
        phases = split.flip(2, 4).permute(1, 3, 5, 0, 2, 4).reshape(outputs * stride**2, inputs, taps, taps)
        return _like(self.weight, phases)

    def _by_phases(self, x: Tensor, bias: Tensor | None, size: list[int]) -> Tensor:
        """Make all phases by one convolution, put them side by side, and cut off the padding."""
        phases = self._phases
        bias = None if bias is None else bias.repeat_interleave(self.stride**2)
        whole = F.pixel_shuffle(_correlate(x, phases, bias, 1, phases.shape[2] - 1, 1), self.stride)
        return whole[:, :, self.padding : self.padding + size[0], self.padding : self.padding + size[1]]


class _Filtered(torch.autograd.Function):
    """A :class:`Filter` whose gradient is its adjoint's result."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Filter, bias: Tensor | None, size: torch.Size | None) -> Tensor:
        ctx.kernel, ctx.size = kernel, x.shape[2:]
        return kernel(x, bias, size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _Filtered.apply(gradient, ctx.kernel.adjoint, None, ctx.size), None, None, None


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(x, slopes)
        return F.prelu(x, slopes.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, slopes = ctx.saved_tensors
        slopes = slopes.to(gradient.dtype)
        # Two passes over the map: the gradient of a ReLU, moved by the slope towards that of the identity.
        rectified: Tensor = torch.ops.aten.threshold_backward(gradient, x, 0)
        return rectified.lerp_(gradient, slopes.view(-1, *[1] * (x.ndim - 2))), None


def _differentiated(x: Tensor) -> bool:
    """Whether a gradient may be asked for; a layer's own function costs as much as a small convolution to set up."""
    return torch.is_grad_enabled() and x.requires_grad


def _correlate(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, groups: int) -> Tensor:
    """Return what :func:`torch.nn.functional.conv2d` does, by oneDNN whatever the batch and the number of threads.

    On its own PyTorch takes a kernel of many small matrix products for small batches on one thread, with
    half of oneDNN's speed.
    """
    # The meta device has no autocast to ask about.
    if torch.amp.is_autocast_available(x.device.type) and torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    # A gradient comes in the type of the result, autocast or not.
    weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
    eager = not torch.compiler.is_compiling() and x.numel() > 0
    on_cpu = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
    if eager and on_cpu and torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled:
        result: Tensor = torch.ops.aten.mkldnn_convolution(
            x, weight, bias, [padding, padding], [stride, stride], [1, 1], groups
        )
        return result
    return F.conv2d(x, weight, bias, stride, padding, groups=groups)


def _like(weight: Tensor, made: Tensor) -> Tensor:
    """Lay ``made`` out as ``weight`` is."""
    channels_last = weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return made.detach().contiguous(memory_format=layout)


def _has_counterpart(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    sides = (layer.kernel_size, layer.stride, layer.padding)
    return (
        all(isinstance(pair, tuple) and pair[0] == pair[1] for pair in sides)
        and layer.padding_mode == "zeros"
        and set(layer.dilation) == {1}
        and set(layer.output_padding) == {0}
        and (layer.groups == 1 or layer.groups == layer.in_channels == layer.out_channels)
    )
