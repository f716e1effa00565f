"""SFace and Faceplugin's MobileFaceNet: the published files compared with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from faceinv_encoders.onnx_file import onnx_encoder
from faceinv_encoders.plugin import faceinv_encoders
from torch import Tensor

from faceinv.contracts import EncoderSpec

pytestmark = pytest.mark.weights
SPECS = [spec for spec in faceinv_encoders() if spec.target.endswith(":onnx_encoder")]


def runtime(path: Path, pixels: Tensor) -> Tensor:
    """Return what ONNX Runtime makes of pixels ``(B, 3, H, W)`` as the network takes them, one by one."""
    onnx, ort = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model = onnx.load(path)
    # SFace's graph still lists inputs for the weights that were rounded, and ONNX Runtime wants values for them.
    used = {name for node in model.graph.node for name in node.input}
    for listed in [item for item in model.graph.input if item.name not in used]:
        model.graph.input.remove(listed)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0].name
    return torch.cat([torch.from_numpy(session.run(None, {entry: one[None].numpy()})[0]) for one in pixels])


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_equals_onnx_runtime(
    spec: EncoderSpec, files: Callable[[str], list[Path]], faces: Callable[[EncoderSpec, int], Tensor]
) -> None:
    (path,) = files(spec.name)
    images = faces(spec, 3)
    # SFace scales within its graph; Faceplugin's own code computes (v - 127) / 128 before its network.
    pixels = {"sface": images * 255, "faceplugin": (images * 255 - 127) / 128}[spec.architecture]
    expected = runtime(path, pixels)
    with torch.no_grad():
        descriptors = onnx_encoder(path, **spec.options)(images)
    assert (descriptors - expected).abs().max() <= 1e-4
    assert (descriptors - expected).abs().max() <= 2e-5 * expected.abs().max()
