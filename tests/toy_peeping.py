"""A broken method that collects every tensor it can reach from its task, to see more than what leaked."""

from __future__ import annotations

import functools
import os
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faceinv import hookimpl
from faceinv.contracts import Inversion, InversionTask, MethodSpec


@hookimpl
def faceinv_methods() -> list[MethodSpec]:
    return [MethodSpec(name="peeping", summary="s", target="toy_peeping:Peeping", licence="MIT")]


class Peeping:
    def __call__(self, task: InversionTask) -> Inversion:
        found = [tensor for tensor in reachable(task) if tensor.dim() == 2 and tensor.is_floating_point()]
        folder = Path(os.environ["PEEPING"])
        np.savez(folder / f"{len(list(folder.iterdir()))}.npz", *[tensor.detach().numpy() for tensor in found])
        with torch.inference_mode():
            latents = task.start(task.descriptors)
            images = task.generator(latents, task.space)
        return Inversion(latents, images, images, {})


def reachable(start: object) -> Iterator[Tensor]:
    """Yield all tensors behind attributes, containers, closures and bound methods.

    The meter's report of progress is left out: it leads to the program that counts steps, and so to everything.
    """
    waiting, seen = [start], set[int]()
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, (type, types.ModuleType, str, bytes, int, float)):
            continue
        seen.add(id(thing))
        if isinstance(thing, Tensor):
            yield thing
        waiting += children(thing)


def children(thing: Any) -> Iterable[object]:
    if isinstance(thing, dict):
        return [*thing.keys(), *thing.values()]
    if isinstance(thing, (list, tuple, set, frozenset)):
        return list(thing)
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, types.MethodType):
        return [thing.__self__, thing.__func__]
    if isinstance(thing, types.FunctionType):
        return [cell.cell_contents for cell in thing.__closure__ or ()]
    own = vars(thing) if hasattr(thing, "__dict__") else {}
    return [value for name, value in own.items() if name != "_on_images"]
