"""Files of the published TensorFlow.js models' format, with arbitrary numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from faceinv_encoders import faceres, mobileface
from torch import Tensor, nn


def write_faceres(folder: Path) -> Sequence[Path]:
    """Write ``x.json`` and ``x.bin`` for FaceRes, with the layers that predict sex and age."""
    rng = torch.Generator().manual_seed(1)
    dense = {"feats": (1024, 256), "gender_pred": (256, 1), "age_pred": (256, 100)}
    heads = {f"{name}/kernel": torch.randn(shape, generator=rng) for name, shape in dense.items()}
    heads |= {f"{name}/bias": torch.randn(shape[1], generator=rng) for name, shape in dense.items()}
    return _write(folder, dict(_arbitrary(faceres.MobileNet(), dict(faceres._names()))) | heads)


def write_mobileface(folder: Path) -> Sequence[Path]:
    """Write ``x.json`` and ``x.bin`` for MobileFace."""
    tensors = dict(_arbitrary(mobileface.MobileFace(), dict(mobileface._names())))
    return _write(folder, tensors | {"batchnorm0/mul": torch.ones(256)})


def _arbitrary(network: nn.Module, names: dict[str, str]) -> Iterator[tuple[str, Tensor]]:
    """Yield the file's name of each tensor with numbers that keep the size of the signal, in TensorFlow's layout."""
    rng = torch.Generator().manual_seed(0)
    for ours, wanted in network.state_dict().items():
        if wanted.ndim == 1:
            yield names[ours], torch.rand(wanted.shape, generator=rng) * 0.2
            continue
        # The reader widens kernels of 3×3 to 4×4 where a convolution has stride 2.
        shape = tuple(3 if side == 4 else side for side in wanted.shape)
        values = torch.randn(shape, generator=rng) * math.sqrt(2 / math.prod(shape[1:]))
        if wanted.ndim == 2:
            yield names[ours], values.T
        else:
            yield names[ours], values.permute(2, 3, 0, 1) if shape[1] == 1 else values.permute(2, 3, 1, 0)


def _write(folder: Path, tensors: dict[str, Tensor]) -> Sequence[Path]:
    weights = [{"name": name, "shape": list(t.shape), "dtype": "float32"} for name, t in tensors.items()]
    manifest = {"format": "graph-model", "weightsManifest": [{"paths": ["x.bin"], "weights": weights}]}
    (folder / "x.json").write_text(json.dumps(manifest))
    (folder / "x.bin").write_bytes(b"".join(t.contiguous().numpy().tobytes() for t in tensors.values()))
    return [folder / "x.json", folder / "x.bin"]
