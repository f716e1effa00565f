"""Writers of arbitrary StyleGAN2 generators in the two published formats, for tests of the readers.

The layout of NVIDIA's is written from its description: a pickle in which every module is a call of
``torch_utils.persistence._reconstruct_persistent_obj`` with its class's source and its attributes.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

SIDE, WIDTH, CHANNELS = 32, 24, {4: 16, 8: 16, 16: 12, 32: 8}

#: In place of the classes' source in NVIDIA's pickles; a reader that executes it fails the test.
SOURCE = "raise SystemExit('the source in a file was run')"


def fir() -> Tensor:
    row = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(row, row) / 64


def rosinality_state(sides: dict[int, int] = CHANNELS, width: int = WIDTH, layers: int = 3) -> dict[str, Tensor]:
    """Return arbitrary weights under rosinality's names; ``sides`` maps the side of a block to its channels."""
    rng = torch.Generator().manual_seed(0)

    def draw(*shape: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
        return shift + scale * torch.randn(shape, generator=rng)

    state = {"input.input": draw(1, sides[4], 4, 4), "to_rgbs.0.upsample.kernel": fir() * 4}
    for layer in range(1, layers + 1):
        state[f"style.{layer}.weight"] = draw(width, width, scale=100)
        state[f"style.{layer}.bias"] = draw(width, scale=20)

    def convolution(name: str, inputs: int, outputs: int, kernel: int) -> None:
        state[f"{name}.conv.weight"] = draw(1, outputs, inputs, kernel, kernel)
        state[f"{name}.conv.modulation.weight"] = draw(inputs, width)
        state[f"{name}.conv.modulation.bias"] = draw(inputs, scale=0.2, shift=1)
        if kernel == 3:
            state[f"{name}.noise.weight"] = draw(1, scale=0.3)
            state[f"{name}.activate.bias"] = draw(outputs, scale=0.2)
        else:
            state[f"{name}.bias"] = draw(1, 3, 1, 1, scale=0.2)

    convolution("conv1", sides[4], sides[4], 3)
    convolution("to_rgb1", sides[4], 3, 1)
    state["noises.noise_0"] = draw(1, 1, 4, 4)
    for number, side in enumerate(side for side in sides if side > 4):
        convolution(f"convs.{2 * number}", sides[side // 2], sides[side], 3)
        convolution(f"convs.{2 * number + 1}", sides[side], sides[side], 3)
        convolution(f"to_rgbs.{number}", sides[side], 3, 1)
        state[f"convs.{2 * number}.conv.blur.kernel"] = fir() * 4
        state[f"to_rgbs.{number}.upsample.kernel"] = fir() * 4
        for which in (1, 2):
            state[f"noises.noise_{2 * number + which}"] = draw(1, 1, side, side)
    return state


class Module:
    """A module as in NVIDIA's files: pickled as its attributes and the source of its class."""

    def __init__(self, name: str, tensors: dict[str, Tensor], children: dict[str, Module], **attributes: Any) -> None:
        self.name = name
        self.state = {
            "training": False,
            "_parameters": OrderedDict((k, torch.nn.Parameter(v)) for k, v in tensors.items() if k not in BUFFERS),
            "_buffers": OrderedDict((k, v) for k, v in tensors.items() if k in BUFFERS),
            "_non_persistent_buffers_set": set(),
            "_backward_hooks": OrderedDict(),
            "_is_full_backward_hook": None,
            "_modules": OrderedDict(children),
            "_init_args": (),
            "_init_kwargs": dict(attributes),
            **attributes,
        }

    def __reduce__(self) -> Any:
        meta = {
            "type": "class",
            "version": 6,
            "module_src": SOURCE,
            "class_name": self.name,
            "state": self.state,
        }
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,)


#: Tensors that are buffers; all others are parameters.
BUFFERS = ("w_avg", "resample_filter", "noise_const")


def nvidia_modules(sides: dict[int, int] = CHANNELS, width: int = WIDTH) -> Module:
    """Return NVIDIA's modules with the weights of :func:`rosinality_state`, under NVIDIA's names."""
    state = rosinality_state(sides, width)

    def layer(theirs: str, upsample: bool, noise: int | None, **attributes: Any) -> Module:
        weight = state[f"{theirs}.conv.weight"][0]
        affine = Module(
            "FullyConnectedLayer",
            {"weight": state[f"{theirs}.conv.modulation.weight"], "bias": state[f"{theirs}.conv.modulation.bias"]},
            {},
            activation="linear",
            # NVIDIA computes it with NumPy, whose scalars are pickled through a global.
            weight_gain=np.float64(1 / math.sqrt(width)),
            bias_gain=1,
        )
        if noise is None:
            tensors = {"weight": weight, "bias": state[f"{theirs}.bias"].flatten()}
            return Module("ToRGBLayer", tensors, {"affine": affine}, conv_clamp=None, weight_gain=np.float64(0.25))
        fixed = state[f"noises.noise_{noise}"][0, 0]
        tensors = {
            "weight": weight,
            "noise_strength": state[f"{theirs}.noise.weight"][0],
            "bias": state[f"{theirs}.activate.bias"],
            "resample_filter": fir(),
            "noise_const": fixed,
        }
        return Module(
            "SynthesisLayer",
            tensors,
            {"affine": affine},
            activation="lrelu",
            use_noise=True,
            conv_clamp=None,
            up=2 if upsample else 1,
            act_gain=np.float64(math.sqrt(2)),
        )

    blocks = {}
    for number, side in enumerate(sides):
        tensors = {"resample_filter": fir()}
        if side == 4:
            tensors["const"] = state["input.input"][0]
            children = {"conv1": layer("conv1", False, 0), "torgb": layer("to_rgb1", False, None)}
        else:
            first = 2 * (number - 1)
            children = {
                "conv0": layer(f"convs.{first}", True, first + 1),
                "conv1": layer(f"convs.{first + 1}", False, first + 2),
                "torgb": layer(f"to_rgbs.{number - 1}", False, None),
            }
        blocks[f"b{side}"] = Module(
            "SynthesisBlock", tensors, children, architecture="skip", is_last=side == max(sides)
        )
    mapping = {
        f"fc{i - 1}": Module(
            "FullyConnectedLayer",
            {"weight": state[f"style.{i}.weight"], "bias": state[f"style.{i}.bias"]},
            {},
            activation="lrelu",
            weight_gain=np.float64(0.01 / math.sqrt(width)),
            bias_gain=0.01,
        )
        for i in range(1, 4)
    }
    average = 0.3 * torch.randn(width, generator=torch.Generator().manual_seed(9))
    return Module(
        "Generator",
        {},
        {
            "synthesis": Module("SynthesisNetwork", {}, blocks, w_dim=width, img_resolution=max(sides)),
            "mapping": Module("MappingNetwork", {"w_avg": average}, mapping, num_layers=3),
        },
        z_dim=width,
        c_dim=0,
        w_dim=width,
        img_resolution=max(sides),
    )


def nvidia_pickle(generator: Any, protocol: int = 4) -> bytes:
    """Return the pickle of NVIDIA's dictionary of networks, in protocol 3 as written by Python 3.7."""
    with nvidias_names() as easy:
        content = {
            "training_set_kwargs": easy(class_name="training.dataset.ImageFolderDataset", use_labels=False),
            "G": None,
            "D": None,
            "G_ema": generator,
            "augment_pipe": None,
        }
        return pickle.dumps(content, protocol)


@contextlib.contextmanager
def nvidias_names() -> Iterator[type[dict]]:
    """Define NVIDIA's classes and functions, without effect, so that they can be pickled."""

    def _reconstruct_persistent_obj(meta: Any) -> None:
        raise SystemExit("the loader that is named in the file was called")

    easy = type("EasyDict", (dict,), {"__module__": "dnnlib.util"})
    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    stand_ins = {
        "torch_utils": {},
        "torch_utils.persistence": {"_reconstruct_persistent_obj": _reconstruct_persistent_obj},
        "dnnlib": {},
        "dnnlib.util": {"EasyDict": easy},
    }
    for name, contents in stand_ins.items():
        module = ModuleType(name)
        vars(module).update(contents)
        sys.modules[name] = module
    try:
        yield easy
    finally:
        for name in stand_ins:
            del sys.modules[name]


@functools.cache
def rosinality_file() -> bytes:
    """Return rosinality's torch file."""
    stream = io.BytesIO()
    torch.save({"g_ema": rosinality_state()}, stream)
    return stream.getvalue()


@functools.cache
def nvidia_file(protocol: int = 4) -> bytes:
    """Return NVIDIA's pickle."""
    return nvidia_pickle(nvidia_modules(), protocol)


def write_rosinality(path: Path) -> Path:
    path.write_bytes(rosinality_file())
    return path


def write_nvidia(path: Path, protocol: int = 4) -> Path:
    path.write_bytes(nvidia_file(protocol))
    return path
