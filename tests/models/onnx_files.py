"""Small ONNX files for tests, written in ONNX's own text format, and what ONNX Runtime makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
from onnx import numpy_helper

#: A little of everything that face encoders are made of; ``opset`` 17.
FACE = """
    c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w, b)
    n = BatchNormalization <epsilon = 0.001> (c, gamma, beta, mean, variance)
    p = PRelu (n, slope)
    d = Conv <group = 4, pads = [1, 1, 1, 1]> (p, w2)
    s = Add (d, p)
    f = Flatten (s)
    y = Gemm <transB = 1> (f, w3, b3)
"""


def arrays(seed: int = 0, **shapes: tuple[int, ...]) -> dict[str, np.ndarray[Any, Any]]:
    """Return random arrays by name; those of variances are positive."""
    rng = np.random.default_rng(seed)
    made = {name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()}
    return {name: np.abs(array) + 0.5 if name == "variance" else array for name, array in made.items()}


FACE_ARRAYS = arrays(
    w=(4, 3, 3, 3), b=(4,), gamma=(4,), beta=(4,), mean=(4,), variance=(4,), slope=(4, 1, 1), w2=(4, 1, 3, 3),
    w3=(5, 64), b3=(5,),
)  # fmt: skip


def model(body: str, inputs: str = "float[N,3,8,8] x", outputs: str = "float[N,D] y", opset: int = 17) -> Any:
    """Return a model with these operations."""
    head = f'<ir_version: 8, opset_import: ["" : {opset}, "other" : 1]>'
    return onnx.parser.parse_model(f"{head} g ({inputs}) => ({outputs}) {{ {body} }}")


def write(path: Path, made: Any, stored: dict[str, np.ndarray[Any, Any]] | None = None) -> Path:
    """Write a model with these stored tensors."""
    made.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in (stored or {}).items())
    path.write_bytes(made.SerializeToString())
    return path


def run(path: Path, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return what ONNX Runtime makes of the images, one by one."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[None]})[0].reshape(1, -1) for image in images])
