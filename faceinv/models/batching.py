"""How many targets at a time: as many as the processor's cache holds of one layer, and the memory of all of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

#: Bytes of the last cache where the system does not tell.
_USUAL_CACHE = 32 << 20
#: Fewer leave the multipliers idle between the layers; more bring nothing that was ever measured.
_LEAST, _MOST = 4, 64


def batch_size_for(step: Callable[[], Tensor], networks: nn.Module, device: torch.device) -> int:
    """Return the batch size for steps like this one: the same on the same machine, a power of two.

    On a CPU the largest layer's result shall stay in the last cache, from which the next layer reads it; what is kept
    for the gradient takes a quarter of the memory at most, so that workers have room beside each other.

    Args:
        step: Computes a result from one candidate; with a graph, where a gradient will be wanted.
        networks: All networks that take part.
        device: Where they are.
    """
    largest, kept = _footprint(step, networks)
    fitting = min(_MOST, _memory(device) // 4 // max(1, kept))
    if device.type == "cpu":
        fitting = min(fitting, max(_LEAST, _last_cache() // max(1, largest)))
    return 1 << max(0, fitting.bit_length() - 1)


def _footprint(step: Callable[[], Tensor], networks: nn.Module) -> tuple[int, int]:
    """Return the bytes of the largest layer's result, and of everything that is kept for the gradient."""
    largest = 0
    kept: dict[int, int] = {}
    parameters = {parameter.data_ptr() for parameter in networks.parameters()}

    def look(layer: nn.Module, given: object, result: object) -> None:
        nonlocal largest
        if isinstance(result, Tensor):
            largest = max(largest, result.nbytes)

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in parameters:
            kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    handles = [layer.register_forward_hook(look) for layer in networks.modules()]
    try:
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            step()
    finally:
        for handle in handles:
            handle.remove()
    return largest, sum(kept.values())


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 8 << 30
    try:
        return min(whole, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        return whole


def _last_cache() -> int:
    """Return the bytes of the largest cache that a core of this machine reaches."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        if text.endswith("K") and text[:-1].isdigit():
            sizes.append(int(text[:-1]) << 10)
    return max(sizes, default=_USUAL_CACHE)
