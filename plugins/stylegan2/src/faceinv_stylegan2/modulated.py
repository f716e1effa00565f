"""A modulated 3x3 convolution with noise, bias and leaky ReLU, differentiable in input and style.

Weight demodulation (Karras et al. 2020, equations 1–3) gives each image its own weights,
``w'_{oik} = s_i w_{oik} / sqrt(Σ_{ik} (s_i w_{oik})² + ε)``. Scaling the input by ``s`` and the
output by the root gives the same result with shared weights: one convolution computes the whole batch, and no gradient
with respect to weights is needed. All steps after the convolution are pointwise, so the backward pass needs only the
layer's input and output.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

SLOPE = 0.2
#: Factor after a leaky ReLU, which preserves the variance (Karras et al. 2018, 4.1).
GAIN = math.sqrt(2)


class ModulatedConvolution(torch.autograd.Function):
    """``clamp(lrelu(scale · conv(style · x) + noise + bias))``.

    Tensors: ``x`` ``(B, in, R, R)``, ``style`` ``(B, in)``, ``scale`` ``(B, out)``, ``bias`` ``(out,)``, ``noise`` of
    the output's size, and ``weight`` ``(out, in, 3, 3)``, or ``(in, out, 3, 3)`` with the ``kernel`` ``(out, 1, 4, 4)``
    that upsamples.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        style: Tensor,
        scale: Tensor,
        weight: Tensor,
        bias: Tensor,
        noise: Tensor | None,
        kernel: Tensor | None,
        clamp: float | None,
    ) -> Tensor:
        """Compute the layer, and save the tensors that :meth:`backward` needs."""
        y = x * style[:, :, None, None]
        if kernel is None:
            y = F.conv2d(y, weight, padding=1)
        else:
            y = F.conv_transpose2d(y, weight, stride=2)
            y = F.conv2d(y, kernel, padding=1, groups=len(kernel))
        y.mul_(scale[:, :, None, None])
        if noise is not None:
            y.add_(noise)
        y.add_(bias[:, None, None])
        F.leaky_relu_(y, SLOPE)
        if clamp is not None:
            y.clamp_(-clamp, clamp)
        ctx.save_for_backward(x, style, scale, weight, bias, noise, kernel, y)
        ctx.clamp = clamp
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of input, style and scale."""
        x, style, scale, weight, bias, noise, kernel, y = ctx.saved_tensors
        with torch.autocast(grad.device.type, enabled=False):
            if ctx.clamp is not None:
                grad = torch.where(y.abs() < ctx.clamp, grad, 0)
            # The sign of the result determines the slope of a leaky ReLU.
            inner = torch.ops.aten.leaky_relu_backward(grad, y, SLOPE, True)
            grad_scale = None
            if ctx.needs_input_grad[2]:
                # d/dscale = Σ inner · conv, where scale · conv = pre − noise − bias, and
                # inner · pre = grad · y, because a leaky ReLU is linear on either side of 0.
                total = (grad * y).sum((2, 3))
                flat = inner.flatten(2)
                total = total - bias * flat.sum(2)
                if noise is not None:
                    total = total - flat @ noise.flatten().to(flat)
                grad_scale = total / scale
            inner.mul_(scale[:, :, None, None])
            if kernel is None:
                inner = F.conv_transpose2d(inner, weight, padding=1)
            else:
                inner = F.conv_transpose2d(inner, kernel, padding=1, groups=len(kernel))
                inner = F.conv2d(inner, weight, stride=2)
            grad_style = (inner * x).sum((2, 3)) if ctx.needs_input_grad[1] else None
            grad_x = inner.mul_(style[:, :, None, None]) if ctx.needs_input_grad[0] else None
        return grad_x, grad_style, grad_scale, None, None, None, None, None
