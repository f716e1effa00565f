"""rosinality's format (``stylegan2-pytorch``): a dictionary of tensors under ``g_ema``.

We read the file ourselves rather than with ``torch.load``, so that nothing in it is executed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from faceinv.errors import WeightsError, first_five
from faceinv.weights import TENSOR_BUILDERS, Builder, StoredTensor, check_count, ignore
from faceinv_stylegan2.published import MAPPING_RATE, Part, Published, check_binomial, fan_in_gain

#: Stand-ins for all globals in rosinality's files; training checkpoints also contain their options.
ROSINALITY_BUILDERS: Mapping[str, Builder] = {**TENSOR_BUILDERS, "argparse.Namespace": ignore}


def rosinality(described: Any) -> Published:
    """Return the generator ``g_ema`` of a checkpoint of rosinality's, or that of a plain dictionary of its tensors.

    Raises:
        WeightsError: if there is none, or a tensor does not belong to a StyleGAN2.
    """
    state = described.get("g_ema", described) if isinstance(described, dict) else None
    if not isinstance(state, dict) or not isinstance(state.get("input.input"), StoredTensor):
        raise WeightsError("it contains no generator 'g_ema' with the tensor 'input.input'")
    check_count(len(state))
    parts: dict[str, Part] = {}
    unknown: list[str] = []
    average = described.get("latent_avg")
    if isinstance(average, StoredTensor):
        parts["mapping.w_avg"] = Part(average, shape=average.shape[-1:])
    for name, tensor in state.items():
        if not isinstance(tensor, StoredTensor):
            raise WeightsError(f"its {str(name)[:80]!r} is not a tensor")
        if str(name).endswith((".blur.kernel", ".upsample.kernel")):
            # Upsampling by two distributes each value over four pixels.
            check_binomial(name, tensor, gain=4.0)
        else:
            found = _part(str(name), tensor)
            unknown += [] if found else [str(name)]
            parts |= found
    if unknown:
        raise WeightsError(f"it has unexpected tensors: {first_five(unknown)}")
    return Published(parts)


def _part(name: str, tensor: StoredTensor) -> dict[str, Part]:
    """Return our part for one of rosinality's tensors, or nothing if the name is unknown."""
    if name == "input.input":
        return {"synthesis.4.const": Part(tensor, shape=tensor.shape[1:])}
    if found := re.fullmatch(r"style\.([1-9]\d?)\.(weight|bias)", name):
        gain = MAPPING_RATE * (fan_in_gain(tensor) if found[2] == "weight" else 1.0)
        return {f"mapping.{int(found[1]) - 1}.{found[2]}": Part(tensor, gain)}
    if found := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        return {f"{_convolution(int(found[1]) - 1)}.noise": Part(tensor, shape=tensor.shape[-2:])}
    if found := re.fullmatch(r"conv1\.(.+)|convs\.(\d{1,2})\.(.+)", name):
        ours = _convolution(int(found[2]) if found[2] else -1)
        return _layer(ours, found[1] or found[3], tensor, is_convolution=True)
    if found := re.fullmatch(r"to_rgb1\.(.+)|to_rgbs\.(\d{1,2})\.(.+)", name):
        side = 8 << int(found[2]) if found[2] else 4
        return _layer(f"synthesis.{side}.torgb", found[1] or found[3], tensor, is_convolution=False)
    return {}


def _layer(ours: str, rest: str, tensor: StoredTensor, *, is_convolution: bool) -> dict[str, Part]:
    """Return our part for the tensor ``rest`` of a modulated convolution."""
    if rest == "conv.weight":
        shape = tensor.shape[1:] if is_convolution else tensor.shape[1:3]
        # (1, out, in, k, k); scaled although demodulation follows, so that its ε keeps its meaning.
        return {f"{ours}.weight": Part(tensor, fan_in_gain(tensor, leading=2), shape)}
    if rest == "conv.modulation.weight":
        return {f"{ours}.affine.weight": Part(tensor, fan_in_gain(tensor))}
    if rest == "conv.modulation.bias":
        return {f"{ours}.affine.bias": Part(tensor)}
    if rest == "noise.weight" and is_convolution:
        return {f"{ours}.noise_strength": Part(tensor, shape=())}
    if rest == ("activate.bias" if is_convolution else "bias"):
        return {f"{ours}.bias": Part(tensor, shape=(math.prod(tensor.shape),))}
    return {}


def _convolution(index: int) -> str:
    """Return our name of ``convs.{index}``; -1 means ``conv1``, the only one at 4x4."""
    return "synthesis.4.conv1" if index < 0 else f"synthesis.{8 << index // 2}.conv{index % 2}"
