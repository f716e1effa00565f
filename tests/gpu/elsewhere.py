"""Tensors that claim to be on another device, to find on a CPU what would make a step wait for a GPU.

The values are on the CPU and all operations are computed there, but a tensor's device is ``meta``, the only other
device whose gradients can be computed without hardware. :class:`Watch` records what would synchronise with a GPU, and
fails where a GPU would.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

ELSEWHERE = torch.device("meta")

#: Operations that read values, or whose result has a size that depends on values.
_READ = {
    "_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "bincount", "repeat_interleave",
    "_unique2", "unique_dim", "unique_consecutive", "_linalg_check_errors", "linalg_eigh", "_linalg_eigh", "allclose",
}  # fmt: skip


class Elsewhere(Tensor):
    """A tensor on another device.

    Args:
        held: Its values, on the CPU.
    """

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=ELSEWHERE,
        )

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __repr__(self) -> str:
        return f"Elsewhere({self.held})"

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def there(tensor: Tensor) -> Tensor:
    """Return a copy of ``tensor`` on the other device."""
    return Elsewhere(tensor.detach().clone())


def here(tensor: Tensor) -> Tensor:
    """Return the values of a tensor that may be on the other device."""
    tensor = tensor.detach()
    return tensor.held if isinstance(tensor, Elsewhere) else tensor


def move(module: nn.Module) -> nn.Module:
    """Move the parameters and buffers of a frozen network to the other device, in place."""
    for layer in module.modules():
        for name, value in list(layer._parameters.items()):
            if value is not None:
                layer._parameters[name] = nn.Parameter(there(value), requires_grad=False)
        for name, value in list(layer._buffers.items()):
            if value is not None:
                layer._buffers[name] = there(value)
    return module


class Watch(TorchDispatchMode):
    """Records what a GPU would have to be waited for, and counts operations there.

    Attributes:
        waits: Operation and line of each synchronisation.
        operations: How many operations ran on the other device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        found = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        away = [value for value in found if isinstance(value, Elsewhere)]
        name = func.overloadpacket.__name__
        copies = name in ("_to_copy", "copy_")
        if any(value.is_meta and not isinstance(value, Elsewhere) for value in found):
            # torch.tensor(…, device=…) makes it on the CPU; the copy is not dispatched.
            raise AssertionError(f"a tensor was made of values that are on the CPU: {_line()}")
        if away and not copies and any(not isinstance(value, Elsewhere) and value.ndim for value in found):
            raise AssertionError(f"{name} mixes devices: {_line()}")
        to = kwargs.get("device")
        into = away if name == "copy_" and isinstance(args[0], Elsewhere) else to is not None and to.type == "meta"
        if copies and into and any(not isinstance(value, Elsewhere) for value in found):
            if not _is_pinned_copy():
                self.waits.append(f"copy to the device: {_line()}")
        elif (copies and away and not into and (name == "copy_" or to is not None)) or (away and name in _READ):
            self.waits.append(f"{name}: {_line()}")
        elif away and name in ("index", "index_put", "index_put_") and _has_mask(args[1]):
            self.waits.append(f"{name} with a mask: {_line()}")
        self.operations += bool(away)
        return _run(func, args, kwargs)


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    """Compute on the CPU; the result is elsewhere if an argument is, unless it is asked for on another device."""
    known: dict[int, Tensor] = {}

    def inner(value: Any) -> Any:
        if isinstance(value, Elsewhere):
            known[id(value.held)] = value
            return value.held
        return torch.device("cpu") if isinstance(value, torch.device) and value == ELSEWHERE else value

    to = kwargs.get("device")
    result = func(*tree_map(inner, args), **tree_map(inner, kwargs))
    if not (known if to is None else torch.device(to) == ELSEWHERE):
        return result

    def outer(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return known[id(value)] if id(value) in known else Elsewhere(value)

    if func.overloadpacket.__name__ == "copy_":
        return args[0]
    return tree_map(outer, result)


def _has_mask(indices: Any) -> bool:
    return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in indices)


def _own_frames() -> list[traceback.FrameSummary]:
    return [frame for frame in traceback.extract_stack() if "faceinv" in frame.filename.rpartition("/src/")[2]]


def _is_pinned_copy() -> bool:
    """Whether the copy is made by :func:`faceinv.hardware.sent`, which pins memory on a GPU."""
    return any(frame.name == "sent" for frame in _own_frames())


def _line() -> str:
    """Return the innermost line of faceinv's code that is being run."""
    frames = [frame for frame in _own_frames() if "/tests/" not in frame.filename]
    return f"{frames[-1].filename}:{frames[-1].lineno} {frames[-1].line}" if frames else "a test"


class Makes(torch.overrides.TorchFunctionMode):
    """Records tensors that are made without a device: on the default one, whatever that is."""

    _FACTORIES: tuple[Callable[..., Tensor], ...] = (
        torch.tensor, torch.zeros, torch.ones, torch.full, torch.empty, torch.arange, torch.linspace, torch.eye,
        torch.rand, torch.randn, torch.randint, torch.randperm, torch.triu_indices, torch.as_tensor,
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        line = _line() if func in self._FACTORIES and kwargs.get("device") is None else "a test"
        if line != "a test":
            self.made.append(line)
        return func(*args, **kwargs)
