"""ONNX operators that move numbers without computing with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from faceinv.errors import WeightsError
from faceinv.models.onnx.call import Call, Function, UnsupportedError


def reshape(call: Call) -> Function:
    """Translate ``Reshape`` such that the first axis follows the number of images."""
    x, wanted = call.tensor(), call.integers("shape", 1)
    if wanted is None:
        raise WeightsError("Reshape lacks its shape")
    keep = not call.get("allowzero", 0)
    if keep and any(side == 0 and place >= x.ndim for place, side in enumerate(wanted)):
        raise WeightsError(f"Reshape to {wanted} of {tuple(x.shape)}")
    sides = [x.shape[place] if side == 0 and keep else side for place, side in enumerate(wanted)]
    return _to(x, sides)


def flatten(call: Call) -> Function:
    """Translate ``Flatten``."""
    axis, x = call.axis(1), call.tensor()
    return _to(x, [math.prod(x.shape[:axis]), math.prod(x.shape[axis:])])


def unsqueeze(call: Call) -> Function:
    """Translate ``Unsqueeze``."""
    axes, x = call.integers("axes", 1) or (), call.tensor()
    rank = x.ndim + len(axes)
    if len({axis % rank for axis in axes}) != len(axes) or any(not -rank <= axis < rank for axis in axes):
        raise WeightsError(f"Unsqueeze has the axes {axes}")
    ordered = sorted(axis % rank for axis in axes)

    def inserted(x: Tensor) -> Tensor:
        for axis in ordered:
            x = x.unsqueeze(axis)
        return x

    return inserted


def squeeze(call: Call) -> Function:
    """Translate ``Squeeze``; without axes, the first one stays for the images."""
    x, axes = call.tensor(), call.integers("axes", 1)
    if axes is None:
        axes = tuple(axis for axis, side in enumerate(x.shape) if side == 1 and (axis or not x.is_meta))
    dropped = {axis % x.ndim for axis in axes}
    if any(x.shape[axis] != 1 for axis in dropped):
        raise WeightsError(f"Squeeze of {tuple(x.shape)} at {axes}")
    return lambda x: x.squeeze(tuple(dropped)) if dropped else x


def transpose(call: Call) -> Function:
    """Translate ``Transpose``."""
    rank = call.tensor().ndim
    order = call.integers("perm") or tuple(reversed(range(rank)))
    if sorted(order) != list(range(rank)):
        raise WeightsError(f"Transpose has the order {order} for {rank} axes")
    return lambda x: x.permute(order)


def concat(call: Call) -> Function:
    """Translate ``Concat``; a constant, such as a class token, is repeated for each image."""
    axis = call.axis(0)

    def joined(*parts: Tensor) -> Tensor:
        many = max(len(part) for part in parts) if axis else 1
        return torch.cat([part.expand(many, *part.shape[1:]) if axis else part for part in parts], axis)

    return joined


def split(call: Call) -> Function:
    """Translate ``Split``."""
    axis, sizes = call.axis(0), call.integers("split", 1)
    side = call.tensor().shape[axis]
    lengths = list(sizes) if sizes else _even(side, call.get("num_outputs", call.outputs))
    if sum(lengths) != side or min(lengths, default=0) < 0 or len(lengths) < call.outputs:
        raise WeightsError(f"Split of {side} into {lengths}")
    return lambda x: tuple(x.split(lengths, axis))


def slicing(call: Call) -> Function:
    """Translate ``Slice``."""
    x = call.tensor()
    starts, ends = call.integers("starts", 1), call.integers("ends", 2)
    if starts is None or ends is None:
        raise WeightsError("Slice lacks its bounds")
    axes = call.integers("axes", 3) or tuple(range(len(starts)))
    steps = call.integers("steps", 4) or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or any(not -x.ndim <= axis < x.ndim for axis in axes):
        raise WeightsError(f"Slice has the starts {starts}, ends {ends}, axes {axes} and steps {steps}")
    if min(steps) < 1:
        raise UnsupportedError(f"Slice with the steps {steps}")
    parts = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        parts[axis] = slice(start, end, step)
    where = tuple(parts)
    return lambda x: x[where]


def gather(call: Call) -> Function:
    """Translate ``Gather`` with constant indices."""
    axis, found = call.axis(0), call.constant(1)
    side = call.tensor().shape[axis]
    if found is None or found.is_floating_point() or (found.numel() and not -side <= int(found.min()) <= side - 1):
        raise WeightsError("Gather has indices that do not fit")
    if found.numel() and int(found.max()) >= side:
        raise WeightsError("Gather has indices that do not fit")
    if found.ndim == 0:
        return lambda x: x.select(axis, int(found))
    index = [int(number) % side for number in found.reshape(-1)]
    shape = tuple(found.shape)

    def picked(x: Tensor) -> Tensor:
        taken = x.index_select(axis, torch.tensor(index, device=x.device))
        return taken.reshape(*x.shape[:axis], *shape, *x.shape[axis + 1 :])

    return picked


def expand(call: Call) -> Function:
    """Translate ``Expand``."""
    x, wanted = call.tensor(), call.integers("shape", 1)
    if wanted is None or min(wanted, default=1) < 0:
        raise WeightsError(f"Expand to {wanted}")
    sides = list(torch.broadcast_shapes(tuple(x.shape), wanted))
    if x.is_meta and len(sides) == x.ndim and sides[0] == x.shape[0]:
        sides[0] = -1
    return lambda x: x.expand(sides)


def tile(call: Call) -> Function:
    """Translate ``Tile``."""
    repeats = call.integers("repeats", 1)
    if repeats is None or min(repeats, default=1) < 0 or len(repeats) != call.tensor().ndim:
        raise WeightsError(f"Tile has the repeats {repeats}")
    return lambda x: x.repeat(repeats)


def pad(call: Call) -> Function:
    """Translate ``Pad``."""
    x, pads = call.tensor(), call.integers("pads", 1)
    if pads is None or len(pads) != 2 * x.ndim or call.optional(3) is not None:
        raise UnsupportedError(f"Pad with the pads {pads}")
    given = call.constant(2)
    value = call.get("value", 0.0) if given is None else float(given)
    sides = [side for axis in reversed(range(x.ndim)) for side in (pads[axis], pads[x.ndim + axis])]
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(call.get("mode", "constant"))
    if mode is None:
        raise UnsupportedError(f"Pad in the mode {call.get('mode', '')}")
    while mode != "constant" and sides[-2:] == [0, 0]:
        sides = sides[:-2]
    return lambda x: F.pad(x, sides, mode, value if mode == "constant" else None)


def constant_of_shape(call: Call) -> Function:
    """Translate ``ConstantOfShape``."""
    shape = call.integers("shape", 0) or ()
    if min(shape, default=0) < 0:
        raise WeightsError(f"ConstantOfShape has the shape {shape}")
    value = call.attributes.get("value")
    fill = value.reshape(-1)[:1] if isinstance(value, Tensor) and value.numel() else torch.zeros(1)
    return lambda given: fill.to(given.device).expand(shape)


def _to(x: Tensor, sides: Sequence[int]) -> Function:
    """Return a reshaping whose first axis grows with the number of images, if ``x`` depends on them."""
    known = math.prod(side for side in sides if side != -1)
    if list(sides).count(-1) > 1 or min(sides, default=1) < -1 or (-1 in sides and (not known or x.numel() % known)):
        raise WeightsError(f"a shape {tuple(sides)} for {tuple(x.shape)}")
    whole = [x.numel() // known if side == -1 else side for side in sides]
    if math.prod(whole) != x.numel():
        raise WeightsError(f"a shape {tuple(sides)} for {tuple(x.shape)}")
    if x.is_meta and whole:
        whole[0] = -1
    # Unlike a lambda, this can be pickled, and so sent to another process.
    return partial(torch.reshape, shape=tuple(whole))


def _even(side: int, count: int) -> list[int]:
    length = -(-side // max(count, 1))
    return [min(length, max(0, side - start * length)) for start in range(count)]
