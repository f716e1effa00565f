"""NVIDIA's format (``stylegan2-ada-pytorch`` and later): a pickle of whole modules.

We read the file ourselves rather than with ``torch.load``, so that nothing in it is executed. Each module is stored as
its class's name, its class's source and its attributes. Other readers execute the source; only the attributes are used
here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from faceinv.errors import WeightsError, first_five
from faceinv.weights import (
    TENSOR_BUILDERS,
    Budget,
    Builder,
    StoredTensor,
    check_count,
    empty_dictionary,
    load_from_bytes,
)
from faceinv_stylegan2.published import MAPPING_RATE, Part, Published, check_binomial, fan_in_gain, linear


@dataclass(frozen=True)
class Persistent:
    """The attributes of an object of one of NVIDIA's classes, without the class."""

    state: dict[Any, Any]


def _persistent(meta: Any) -> Persistent:
    """Stand in for the function that would execute the class's source; the source is ignored."""
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict):
        raise ValueError("a persistent object without state")
    return Persistent(meta["state"])


def _tensorflow(*_: Any) -> None:
    raise WeightsError(
        "it is a TensorFlow pickle; convert it first with legacy.py of stylegan2-ada-pytorch, "
        "on a machine where running its code is safe"
    )


def nvidia_builders(budget: Budget) -> Mapping[str, Builder]:
    """Return stand-ins for all globals in NVIDIA's files; the pickles in their storages use the same ``budget``."""
    return {
        **TENSOR_BUILDERS,
        "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
        "torch.storage._load_from_bytes": partial(load_from_bytes, budget=budget),
        "dnnlib.util.EasyDict": empty_dictionary,
        "dnnlib.tflib.network.Network": _tensorflow,
    }


def nvidia(described: Any) -> Published:
    """Return the generator ``G_ema`` of NVIDIA's pickle.

    Raises:
        WeightsError: if there is none, or it is not a supported StyleGAN2; the message says why.
    """
    generator = described.get("G_ema") if isinstance(described, dict) else described
    if not isinstance(generator, Persistent):
        raise WeightsError("it contains no generator 'G_ema'")
    root = _Module("G_ema", generator)
    mapping, synthesis = root.child("mapping"), root.child("synthesis")
    if root.number("c_dim", default=0) != 0:
        raise WeightsError("its generator is conditional (c_dim is not 0); only unconditional ones are supported")
    if "b4" not in synthesis.children:
        raise WeightsError(f"its generator is not a StyleGAN2: its synthesis has {first_five(synthesis.children)}")
    check_count(len(mapping.children))
    parts: dict[str, Part] = {}
    for i in range(len([name for name in mapping.children if name.startswith("fc")])):
        layer = mapping.child(f"fc{i}")
        layer.expect("activation", "lrelu")
        # The only factor of a bias is the relative learning rate.
        parts |= layer.linear(f"mapping.{i}", layer.number("bias_gain", default=MAPPING_RATE) or 0.0)
    parts |= mapping.optional("w_avg", "mapping.w_avg")
    clamps = set()
    for name, block in synthesis.blocks():
        parts |= block.optional("const", f"{name}.const")
        block.expect_binomial("resample_filter")
        for child in ("conv0", "conv1", "torgb"):
            if child in block.children:
                layer = block.child(child)
                parts |= layer.convolution(f"{name}.{child}")
                clamps.add(layer.number("conv_clamp", default=None))
        if "skip" in block.children:
            weight = block.child("skip").tensor("weight")
            parts[f"{name}.skip.weight"] = Part(weight, fan_in_gain(weight), weight.shape[:2])
    if len(clamps) > 1:
        raise WeightsError("its layers differ in conv_clamp; no published generator has such layers")
    return Published(parts, clamps.pop() if clamps else None)


@dataclass(frozen=True)
class _Module:
    """An ``nn.Module`` in NVIDIA's pickle, read through its attributes."""

    name: str
    object: Persistent

    def _part(self, kind: str) -> dict[Any, Any]:
        held = self.object.state.get(kind)
        return held if isinstance(held, dict) else {}

    @property
    def children(self) -> list[str]:
        return [
            name
            for name, child in self._part("_modules").items()
            if isinstance(name, str) and isinstance(child, Persistent)
        ]

    def child(self, name: str) -> _Module:
        held = self._part("_modules").get(name)
        if not isinstance(held, Persistent):
            raise WeightsError(f"its {self.name} has no module {name!r}")
        return _Module(f"{self.name}.{name}", held)

    def blocks(self) -> Iterator[tuple[str, _Module]]:
        """Yield our name and the module of each synthesis block."""
        for name in self.children:
            found = re.fullmatch(r"b(\d{1,4})", name)
            if found is None:
                raise WeightsError(f"its {self.name} has a module {name[:80]!r}, which no StyleGAN2 has")
            yield f"synthesis.{found[1]}", self.child(name)

    def find(self, name: str) -> StoredTensor | None:
        found = self._part("_parameters").get(name, self._part("_buffers").get(name))
        return found if isinstance(found, StoredTensor) else None

    def tensor(self, name: str) -> StoredTensor:
        found = self.find(name)
        if found is None:
            raise WeightsError(f"its {self.name} has no tensor {name!r}")
        return found

    def optional(self, name: str, ours: str) -> dict[str, Part]:
        found = self.find(name)
        return {} if found is None else {ours: Part(found)}

    def number(self, name: str, default: float | None) -> float | None:
        value = self.object.state.get(name, default)
        if value is None:
            return None
        if not isinstance(value, (int, float)) or not abs(value) < 1e30:
            raise WeightsError(f"its {self.name}.{name} is not a plain number")
        return float(value)

    def expect(self, name: str, value: str) -> None:
        given = self.object.state.get(name, value)
        if given != value:
            shown = repr(given[:40]) if isinstance(given, str) else "of an unknown kind"
            raise WeightsError(f"its {self.name} has {name} {shown}; only {value!r} is supported")

    def expect_binomial(self, name: str) -> None:
        found = self.find(name)
        if found is not None:
            check_binomial(f"{self.name}.{name}", found, gain=1.0)

    def linear(self, ours: str, rate: float = 1.0) -> dict[str, Part]:
        weight, bias = self.tensor("weight"), self.tensor("bias")
        return linear(ours, weight, bias, rate)

    def convolution(self, ours: str) -> dict[str, Part]:
        """Return the parts of a modulated convolution: weight, bias, affine, noise."""
        self.expect("activation", "lrelu")
        weight, bias = self.tensor("weight"), self.tensor("bias")
        parts = self.child("affine").linear(f"{ours}.affine")
        parts[f"{ours}.bias"] = Part(bias)
        if ours.endswith("torgb"):
            parts[f"{ours}.weight"] = Part(weight, fan_in_gain(weight), weight.shape[:2])
        else:
            # Demodulation cancels the scale of these weights, so NVIDIA omits it.
            parts[f"{ours}.weight"] = Part(weight)
        if self.object.state.get("use_noise", True) is not False:
            parts |= self.optional("noise_const", f"{ours}.noise")
            parts |= self.optional("noise_strength", f"{ours}.noise_strength")
        return parts
