"""ONNX files run by ONNX Runtime: no gradients, but every operator."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from faceinv.errors import WeightsError, shown
from faceinv.models.external.facts import Facts
from faceinv.models.onnx.network import entry_of, result_of
from faceinv.weights.formats.onnx import read_onnx

#: Most numbers in inputs that no operation takes.
_MOST_UNUSED = 1 << 26


class OnnxRuntime(nn.Module):
    """An ONNX file as a black box.

    Args:
        path: The file.
        facts: What is known of it.

    Raises:
        WeightsError: if ONNX Runtime is missing, or cannot load the file.
    """

    def __init__(self, path: Path, facts: Facts) -> None:
        super().__init__()
        graph = read_onnx(path)
        try:
            import onnxruntime
        except ImportError:
            raise WeightsError(
                f"{path} has operators that are not translated to PyTorch, and ONNX Runtime, which would run it as a "
                "black box, is not installed: pip install 'faceinv[onnx]'"
            ) from None
        try:
            entry, _, self._last = entry_of(graph, facts.size)
            self._output = result_of(graph, facts.output).name
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}.") from None
        self._path, self._entry, self._fixed = path, entry.name, entry.shape[0]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own classes, one for each kind of fault
            raise WeightsError(f"{path}: ONNX Runtime cannot load it: {shown(error)}") from None
        # Inputs that no operation takes, which quantisers leave behind, must be given nevertheless.
        unused = [item for item in self._session.get_inputs() if item.name != self._entry]
        sides = {item.name: [side if isinstance(side, int) else 1 for side in item.shape] for item in unused}
        if sum(map(math.prod, sides.values())) > _MOST_UNUSED:
            raise WeightsError(f"{path} has inputs beside the images that are too large.")
        self._unused = {name: np.zeros(shape, dtype=np.float32) for name, shape in sides.items()}

    def dim(self, size: tuple[int, int]) -> int:
        """Return the length of a descriptor, from one grey image."""
        return int(self(torch.full((1, 3, *size), 0.5)).shape[1])

    def forward(self, images: Tensor) -> Tensor:
        """Return vectors ``(B, dim)`` of images ``(B, 3, H, W)``."""
        given = images.detach().cpu().float()
        given = (given.permute(0, 2, 3, 1) if self._last else given).contiguous()
        # One at a time, unless the file says that it takes any number.
        step = len(given) if self._fixed is None else 1
        made = [self._run(given[first : first + step]) for first in range(0, len(given), step)]
        return torch.cat(made).to(images.device, images.dtype)

    def _run(self, images: Tensor) -> Tensor:
        whole = images if self._fixed in (None, 1) else images.expand(self._fixed, *images.shape[1:])
        try:
            (found,) = self._session.run([self._output], {self._entry: whole.numpy(), **self._unused})
        except Exception as error:  # its own classes, one for each kind of fault
            raise WeightsError(f"{self._path}: ONNX Runtime cannot run it: {shown(error)}") from None
        vectors = torch.from_numpy(found).float()
        if vectors.numel() % len(whole) or math.prod(vectors.shape) == 0:
            raise WeightsError(f"{self._path} returns {tuple(vectors.shape)} for {len(whole)} images.")
        if vectors.ndim > 2 and max(vectors.shape[1:]) != math.prod(vectors.shape[1:]):
            raise WeightsError(f"{self._path} returns {tuple(vectors.shape)}, not one vector for each image.")
        return vectors.reshape(len(whole), -1)[: len(images)]
