"""The soft histogram of ID2image (equation 3), at a cost that does not depend on the number of bins.

In units of a bin's width, with u = N (x - min) / (max - min), the edges of the bins are the integers 0 to N, and
equation (3) reads H_k = C_k - C_(k+1), with C_k = sum over pixels of Sigmoid(a (u - k)) and a = sigma (max - min) / N.
A pixel adds 1 to C_k at every edge far below it and 0 at every edge far above it; sigmoids matter only at the edges
near it. With the paper's sigma = 1.85 and N = 10, a = 47, and the nearest edge is enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from faceinv.contracts import check_images
from faceinv.errors import UsageError

#: The rows and the columns of a block of values.
Block = tuple[slice, slice]

#: Largest error in a bin, per pixel, from the edges left out.
_TRUNCATION = 1e-9

#: Values per block: few enough for a processor's cache, but no fewer, since all threads synchronise after each of the
#: dozen operations on a block.
_BLOCK = 3 << 17

#: Most pixels of one channel in a block. Sums of this many keep the promised accuracy.
_COLUMNS = 1 << 16

#: What a pixel counts in a packed sum: more than all sigmoids of a channel's block add up to, so that one sum holds
#: both the number of pixels and their sigmoids. Its last digit in float64 is 2e-6, its rounding error half of that.
_PIXEL = 2.0 * _COLUMNS


def soft_histogram(images: Tensor, bins: int = 10, sigma: float = 1.85) -> Tensor:
    """Return the soft histogram of each colour channel, ``(B, 3, bins)``, each summing to 1.

    These are :func:`soft_counts` divided by their sum over the bins, which makes up for what pixels near black and
    white lose beyond the outermost edges. If no pixel is in range, the histogram is zero.

    Args:
        images: ``(B, 3, H, W)``; ``[0, 1]`` stands for the paper's 0–255.
        bins: N, at least 1.
        sigma: Steepness of the sigmoids per 8-bit level, positive.

    Raises:
        ShapeError: if the images have another shape or type.
        UsageError: if ``bins`` or ``sigma`` is out of range.
    """
    counts = soft_counts(images, bins, sigma)
    return counts / counts.sum(2, keepdim=True).clamp_min(torch.finfo(counts.dtype).tiny)


def soft_counts(images: Tensor, bins: int = 10, sigma: float = 1.85, block: int = _BLOCK) -> Tensor:
    """Return equation (3) of Li, Smith, Huber 2023 as it stands: ``(B, 3, bins)``, in pixels.

    The outermost edges, 0 and 255, have sigmoids too: a pixel at exactly 0 counts half, and one far outside the range
    counts nothing. Apart from rounding, a value differs from the direct evaluation by less than 1e-6 per pixel.
    Differentiable once. Apart from the gradient, the memory needed does not grow with the image.

    Args:
        images: ``(B, 3, H, W)``; ``[0, 1]`` stands for the paper's 0–255. Half precision is computed,
            and returned, in float32.
        bins: N, at least 1.
        sigma: Steepness of the sigmoids per 8-bit level, positive.
        block: Number of values to work on at a time; has no effect on the result beyond rounding.

    Raises:
        ShapeError: if the images have another shape or type.
        UsageError: if ``bins`` or ``sigma`` is out of range.
    """
    check_images(images)
    if bins < 1:
        raise UsageError(f"A histogram needs at least 1 bin, got {bins}.")
    if not 0 < sigma < math.inf:
        raise UsageError(f"The sigma of a soft histogram must be a positive number, got {sigma}.")
    channels = images.flatten(0, 1).flatten(1)
    above: Tensor = _CountsAbove.apply(channels, bins, sigma * 255 / bins, block)
    return (above[:, :-1] - above[:, 1:]).view(*images.shape[:2], bins)


def reach(steepness: float, bins: int) -> int:
    """Return the number of edges to evaluate on each side of the nearest one.

    The nearest edge left out is at least ``reach + 1/2`` bins away, where the sigmoid differs from its limit by at
    most ``exp(-steepness * (reach + 1/2))``; a bin has two edges.

    Args:
        steepness: a = sigma (max - min) / N, the steepness of the sigmoids per bin.
        bins: N, which is also the largest result.
    """
    return min(bins, max(0, math.ceil(math.log(2 / _TRUNCATION) / steepness - 0.5)))


class _CountsAbove(torch.autograd.Function):
    """C ``(R, N + 1)``: the soft number of values ``(R, P)`` in ``[0, 1]`` above each edge."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, bins: int, steepness: float, block: int) -> Tensor:
        dtype = torch.promote_types(values.dtype, torch.float32)
        if values.device.type != "cpu":
            ctx.save_for_backward(values)
            ctx.bins, ctx.steepness = bins, steepness
            return torch.stack([share.sum(1) for share in _every_edge(values.to(dtype), bins, steepness)], 1)
        width = reach(steepness, bins)
        # With one edge per pixel, the gradient needs only its sigmoid and its index, which are computed here anyway.
        is_kept = ctx.needs_input_grad[0] and width == 0 and bins < 256
        kept = (torch.empty_like(values, dtype=dtype), torch.empty_like(values, dtype=torch.uint8)) if is_kept else None
        ctx.save_for_backward(values)
        side = min(block, _COLUMNS)
        blocks = list(_blocks(len(values), values.shape[1], block, side))
        ctx.bins, ctx.steepness, ctx.kept, ctx.blocks = bins, steepness, kept, blocks
        # Edges beyond both ends are counted too and then dropped, so that no pixel is a special case.
        soft = values.new_zeros(len(values), bins + 1 + 2 * width, dtype=torch.float64)
        parts = -(-values.shape[1] // side)
        packed = values.new_zeros(len(values), parts, bins + 1, dtype=torch.float64)
        scratch = _Scratch(values, dtype, blocks)
        for rows, columns in blocks:
            part = values[rows, columns].to(dtype)
            distance = scratch("distance", part) if kept is None else kept[0][rows, columns]
            index = scratch("index", part)
            short = _to_nearest_edge(part, bins, distance, index, scratch)
            if kept is not None:
                kept[1][rows, columns] = short
            for offset in _others(width):
                shares = _shares(distance, offset, steepness)
                soft[rows].scatter_add_(1, index + (width + offset), shares.double())
            share = distance.mul_(steepness).sigmoid_()
            packed[rows, columns.start // side].scatter_add_(
                1, index, scratch("packed", part).copy_(share).add_(_PIXEL)
            )
        pixels = packed.div(_PIXEL).floor_()
        soft[:, width : width + bins + 1] += packed.sub_(pixels, alpha=_PIXEL).sum(1)
        above = soft[:, width : width + bins + 1] + _counted_whole(pixels.sum(1), width)
        return above.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (values,) = ctx.saved_tensors
        bins, steepness = ctx.bins, ctx.steepness
        # dSigmoid(a (N v - k))/dv = a N (s - s^2)
        scaled = gradient * (steepness * bins)
        if values.device.type != "cpu":
            total = torch.zeros_like(values, dtype=gradient.dtype)
            for edge, share in enumerate(_every_edge(values.to(gradient.dtype), bins, steepness)):
                total += torch.ops.aten.sigmoid_backward(scaled[:, edge, None], share)
            return total.to(values.dtype), None, None, None
        # The first backward pass overwrites what was kept; another over the same graph recomputes it.
        kept, ctx.kept = ctx.kept, None
        scratch = _Scratch(values, gradient.dtype, ctx.blocks)
        if kept is not None:
            shares, places = kept
            gradients = _gradient_of_kept(shares, places, scaled, ctx.blocks, scratch)
            return gradients.to(values.dtype), None, None, None
        width = reach(steepness, bins)
        scaled = F.pad(scaled, (width, width))
        result = torch.zeros_like(values)
        for block in ctx.blocks:
            part = values[block].to(gradient.dtype)
            distance, index = scratch("distance", part), scratch("index", part)
            _to_nearest_edge(part, bins, distance, index, scratch)
            for offset in range(-width, width + 1):
                share = _shares(distance, offset, steepness)
                own = scaled[block[0]].gather(1, index + (width + offset))
                result[block] += torch.ops.aten.sigmoid_backward(own, share)
        return result, None, None, None


def _every_edge(values: Tensor, bins: int, steepness: float) -> Iterator[Tensor]:
    """Yield the sigmoids of all values ``(R, P)`` at each edge, for accelerators.

    These add up much faster than they scatter into few bins, where every addition waits for the one before it; and
    always in the same order, so that a repeated run gives the same numbers.
    """
    for edge in range(bins + 1):
        yield (values * bins).sub_(edge).mul_(steepness).sigmoid_()


class _Scratch:
    """Memory for the intermediates of a block, reused by the next block.

    Fresh memory took twice as long as all of the arithmetic, unless the allocator happened to return memory that was
    still in the processor's cache.

    Args:
        values: ``(R, P)``.
        dtype: Type to compute in.
        blocks: The blocks of the values.
    """

    def __init__(self, values: Tensor, dtype: torch.dtype, blocks: list[Block]) -> None:
        self._size = max((values[block].numel() for block in blocks), default=0)
        self._device = values.device
        self._dtypes = {
            "nearest": dtype,
            "distance": dtype,
            "short": torch.int32,
            "index": torch.int64,
            "packed": torch.float64,
        }
        self._flat: dict[str, Tensor] = {}

    def __call__(self, name: str, part: Tensor) -> Tensor:
        """Return the memory of this name in the shape of ``part``, with undefined content."""
        if name not in self._flat:
            self._flat[name] = torch.empty(self._size, dtype=self._dtypes[name], device=self._device)
        return self._flat[name][: part.numel()].view(part.shape)


def _gradient_of_kept(shares: Tensor, places: Tensor, scaled: Tensor, blocks: list[Block], scratch: _Scratch) -> Tensor:
    """Return the gradient with respect to each pixel ``(R, P)``, in the memory of ``shares``.

    Args:
        shares: ``(R, P)``, each pixel's sigmoid at the edge nearest to it.
        places: ``(R, P)``, the index of that edge.
        scaled: ``(R, N + 1)``, the gradient with respect to the edges' counts, times the steepness of the sigmoids.
        blocks: The blocks to work on.
        scratch: Memory for a block.
    """
    for block in blocks:
        share = shares[block]
        index = scratch("index", share).copy_(places[block])
        own = torch.gather(scaled[block[0]], 1, index, out=scratch("nearest", share))
        torch.ops.aten.sigmoid_backward(own, share, grad_input=share)
    return shares


def _blocks(rows: int, columns: int, size: int, side: int) -> Iterator[Block]:
    """Cut ``(rows, columns)`` into blocks of about ``size`` values, at most ``side`` of them in a row.

    The rows of a block divide evenly among the threads, each of which sums rows of its own.
    """
    threads = torch.get_num_threads()
    step = -(-size // (min(max(1, columns), side) * threads)) * threads
    for row in range(0, rows, step):
        for column in range(0, columns, side):
            yield slice(row, row + step), slice(column, column + side)


def _to_nearest_edge(part: Tensor, bins: int, distance: Tensor, index: Tensor, scratch: _Scratch) -> Tensor:
    """Write each value's distance from its nearest edge, in bins, and that edge's index; return the index as int32.

    NaN goes to the first edge, so that its sigmoid, also NaN, shows in the histogram.
    """
    torch.mul(part, bins, out=distance)
    nearest = torch.round(distance, out=scratch("nearest", part)).clamp_(0, bins).nan_to_num_(nan=0.0)
    distance.sub_(nearest)
    # Via int32: most processors convert several floats at once to int32, but only one at a time to int64.
    short = scratch("short", part).copy_(nearest)
    index.copy_(short)
    return short


def _others(width: int) -> Iterator[int]:
    """Return the other edges of a pixel's window, as offsets from the nearest one."""
    return (offset for offset in range(-width, width + 1) if offset)


def _shares(distance: Tensor, offset: int, steepness: float) -> Tensor:
    """Return the sigmoids at the edge ``offset`` places above the nearest one."""
    shifted = distance - offset if offset else distance
    return torch.mul(shifted, steepness).sigmoid_()


def _counted_whole(nearest: Tensor, width: int) -> Tensor:
    """Return how many pixels add exactly 1 to each edge: those whose window begins above it.

    Args:
        nearest: ``(R, N + 1)``, the number of pixels by nearest edge.
        width: Edges in the window on each side of the nearest.
    """
    whole = nearest.sum(1, keepdim=True) - nearest.cumsum(1)
    return F.pad(whole[:, width:], (0, width)) if width else whole
