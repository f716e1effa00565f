"""Batch sizes that fit the machine: the largest layer in the CPU's cache, all activations in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from faceinv.hardware import memory

#: Bytes of the last-level cache if the system does not report it.
_USUAL_CACHE = 32 << 20
#: Bytes of memory if the system does not report it.
_USUAL_MEMORY = 8 << 30
#: Smaller batches leave the arithmetic units idle between layers; larger ones never were faster in measurements.
_LEAST, _MOST = 4, 64


def batch_size_for(
    step: Callable[[], Tensor],
    networks: nn.Module,
    device: torch.device,
    *,
    cache: int | None = None,
    free: int | None = None,
) -> int:
    """Return the batch size for steps like this one: a power of two, always the same on the same CPU.

    On a CPU the output of the largest layer should stay in the last-level cache, where the next layer reads it.
    Tensors kept for the gradient take at most a quarter of the memory, on a GPU of what is free, so that several
    workers fit.

    Args:
        step: Computes a result from one candidate; with a graph if a gradient will be needed.
        networks: All networks that take part.
        device: Their device.
        cache: Bytes of the last-level cache; by default this machine's.
        free: Bytes of free memory; by default the device's.
    """
    largest, kept = _footprint(step, networks)
    fitting = min(_MOST, (free or _free_memory(device)) // 4 // max(1, kept))
    if device.type == "cpu":
        fitting = min(fitting, max(_LEAST, (cache or _last_cache()) // max(1, largest)))
    return 1 << max(0, fitting.bit_length() - 1)


def _footprint(step: Callable[[], Tensor], networks: nn.Module) -> tuple[int, int]:
    """Return the bytes of the largest layer's output, and of all tensors kept for the gradient."""
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


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        # What other programs hold is not there; what PyTorch keeps for itself is.
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return memory() or _USUAL_MEMORY


def _last_cache() -> int:
    """Return the bytes of the largest cache that a core of this machine can access."""
    sizes = []
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        if text.endswith("K") and text[:-1].isdigit():
            sizes.append(int(text[:-1]) << 10)
    return max(sizes, default=_USUAL_CACHE)
