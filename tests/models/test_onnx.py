"""ONNX files as PyTorch modules: the same numbers as ONNX Runtime's, gradients, and files that are refused."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faceinv.errors import WeightsError
from faceinv.models import onnx_network
from faceinv.models.onnx.call import UnsupportedError

sys.path.insert(0, str(Path(__file__).parent))
from onnx_files import FACE, FACE_ARRAYS, arrays, model, run, write


def assert_same(path: Path, size: int = 8, scale: float = 1.0, atol: float = 1e-5) -> None:
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(1)) * scale
    network = onnx_network(path)
    assert network(images).shape == (3, network.dim)
    np.testing.assert_allclose(network(images).numpy(), run(path, images.numpy()), rtol=1e-4, atol=atol)


def test_a_face_encoder_has_the_numbers_and_gradients_of_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "face.onnx", model(FACE), FACE_ARRAYS)
    assert_same(path)
    network = onnx_network(path)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules())  # it is folded
    # Random images lie on no kink of PReLU, so finite differences in float64 are exact there.
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert torch.autograd.gradcheck(network.double(), images.requires_grad_(True), fast_mode=True)


PARTS = {
    "prelu with slopes (1, C, 1, 1)": ("p = PRelu(x, s) y = Flatten(p)", arrays(s=(1, 3, 1, 1)), 17),
    "prelu with one slope": ("p = PRelu(x, s) y = Flatten(p)", arrays(s=(1,)), 17),
    "prelu along the last axis": ("q = Sub(x, h) p = PRelu(q, s) y = Flatten(p)", arrays(s=(8,), h=(1,)), 17),
    "a norm before a convolution": (
        "n = BatchNormalization(x, g, b, mean, variance) c = Conv<auto_pad = \"SAME_UPPER\", strides = [2, 2]>(n, w) "
        "y = Flatten(c)",
        arrays(g=(3,), b=(3,), mean=(3,), variance=(3,), w=(4, 3, 3, 3)), 17,
    ),
    "uneven padding": ("c = Conv<pads = [0, 1, 2, 1]>(x, w) y = Flatten(c)", arrays(w=(4, 3, 3, 3)), 17),
    "pooling": (
        "a = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x) m = MaxPool<kernel_shape = [2, 2], "
        "strides = [2, 2]>(a) g = GlobalAveragePool(x) f = Flatten(m) h = Flatten(g) y = Concat<axis = 1>(f, h)",
        {}, 17,
    ),
    "unit length by hand": ("f = Flatten(x) l = ReduceL2<axes = [1]>(f) y = Div(f, l)", {}, 17),
    "unit length": ("f = Flatten(x) y = LpNormalization(f)", {}, 17),
    "bounds as attributes": ("c = Clip<min = 0.2, max = 0.6>(x) y = Flatten(c)", {}, 6),
    "scaling in the graph": (
        "d = Sub(x, m) e = Mul(d, s) f = Dropout(e) y = Flatten(f)", arrays(m=(1,), s=(3, 1, 1)), 17,
    ),
    "a shape that is computed": (
        "s = Shape(x) i = Constant<value_int = 0>() n = Gather(s, i) z = Constant<value_ints = [0]>() "
        "b = Unsqueeze(n, z) r = Constant<value_ints = [-1]>() t = Concat<axis = 0>(b, r) y = Reshape(x, t)", {}, 17,
    ),
    "channels shuffled": (
        "t = Constant<value_ints = [0, 4, 1, 6, 6]>() r = Reshape(c, t) q = Transpose<perm = [0, 2, 1, 3, 4]>(r) "
        "y = Flatten(q) ", arrays(w=(4, 3, 3, 3)), 17,
    ),
    "split and slices": (
        "a, b = Split<axis = 1>(c) s = Constant<value_ints = [1]>() e = Constant<value_ints = [5]>() "
        "z = Constant<value_ints = [2]>() d = Slice(a, s, e, z) f = Flatten(d) g = Flatten(b) "
        "y = Concat<axis = -1>(f, g)",
        arrays(w=(4, 3, 3, 3)), 13,
    ),
    "a transformer": (
        "p = Conv<strides = [4, 4]>(x, w) s = Constant<value_ints = [0, 6, 4]>() r = Reshape(p, s) "
        "t = Transpose<perm = [0, 2, 1]>(r) k = Concat<axis = 1>(cls, t) n = LayerNormalization(k, g, b) "
        "u = Transpose<perm = [0, 2, 1]>(n) a = MatMul(n, u) h = Softmax(a) o = MatMul(h, n) e = Erf(o) "
        "i = Constant<value_int = 0>() y = Gather<axis = 1>(e, i)",
        arrays(w=(6, 3, 4, 4), cls=(1, 1, 6), g=(6,), b=(6,)), 17,
    ),
    "an old softmax": ("f = Flatten(x) y = Softmax(f)", {}, 9),
    "a mean over the map": ("m = ReduceMean<axes = [2, 3], keepdims = 0>(x) y = Identity(m)", {}, 17),
    "quantised weights": (
        "d = DequantizeLinear<axis = 0>(q, s, z) c = Conv(x, d) y = Flatten(c)",
        {**arrays(s=(4,)), "q": np.arange(108, dtype="i1").reshape(4, 3, 3, 3), "z": np.array([1, -2, 3, 0], "i1")}, 17,
    ),
    "weights in blocks": (
        "d = DequantizeLinear<axis = 1, block_size = 4>(q, s, z) f = Flatten(x) y = Gemm<transB = 1>(f, d)",
        {**arrays(s=(2, 48)), "q": np.arange(384).astype("i1").reshape(2, 192), "z": np.ones((2, 48), "i1")}, 21,
    ),
    "quantised activations": (
        "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = Flatten(d)",
        {"s": np.array(0.02, "f4"), "z": np.array(3, "u1")}, 17,
    ),
    "half precision": (
        "h = Cast<to = 1>(w) c = Conv(x, h) y = Flatten(c)", {"w": arrays(w=(4, 3, 3, 3))["w"].astype("f2")}, 17,
    ),
}  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_an_encoder_has_the_numbers_of_its_file(tmp_path: Path, part: str) -> None:
    body, stored, opset = PARTS[part]
    body = body if "w" not in stored or "Conv" in body else f"c = Conv(x, w) {body}"
    assert_same(write(tmp_path / "part.onnx", model(body, opset=opset), stored))


def test_the_batch_and_the_layout_of_the_file_do_not_matter(tmp_path: Path) -> None:
    body = "t = Transpose<perm = [0, 3, 1, 2]>(x) c = Conv(t, w) s = Constant<value_ints=[1, 144]>() y = Reshape(c, s)"
    path = write(tmp_path / "tf.onnx", model(body, "float[1,8,8,3] x", "float[1,144] y"), arrays(w=(4, 3, 3, 3)))
    images = torch.rand(3, 3, 8, 8)
    expected = run(path, images.permute(0, 2, 3, 1).contiguous().numpy())
    np.testing.assert_allclose(onnx_network(path)(images).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_one_of_two_outputs_is_chosen_by_name(tmp_path: Path) -> None:
    made = model("y = Flatten(x) z = ReduceMean<axes = [2, 3], keepdims = 0>(x)", outputs="float[N,D] y, float[N,3] z")
    path = write(tmp_path / "two.onnx", made)
    with pytest.raises(WeightsError, match=r"has 2 outputs; name the descriptor's as 'output'.*: y \?x\?, z \?x3\."):
        onnx_network(path)
    assert onnx_network(path, output="z").dim == 3


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "an operator that is not known": (model("y = Foo(x)"), UnsupportedError, "operator Foo"),
    "another domain": (model("y = other.Relu(x)"), UnsupportedError, "operator other.Relu"),
    "a loop": (
        model(
            "n = Constant<value_int = 2>() t = Constant<value = bool {1}>() "
            "y = Loop(n, t, x) <body = b (int64 i, bool k, float[N,3,8,8] v) => (bool o, float[N,3,8,8] u) "
            "{ o = Identity(k) u = Relu(v) }>"
        ),
        UnsupportedError,
        r"control flow \(Loop\)",
    ),
    "a map instead of a vector": (model("y = Relu(x)", outputs="float[N,3,8,8] y"), WeightsError, "not one vector"),
    "two inputs": (model("y = Add(x, z)", "float[N,3,8,8] x, float[N,3,8,8] z"), WeightsError, "must take one input"),
    "grey images": (model("y = Flatten(x)", "float[N,1,8,8] x"), WeightsError, "must have 3 channels, not .x1x8x8"),
    "bytes": (model("y = Flatten(x)", "uint8[N,3,8,8] x"), WeightsError, "must be float images"),
    "an open size": (model("y = Flatten(x)", "float[N,3,H,W] x"), WeightsError, "how large its images are"),
    "a mean over the images": (
        model("m = ReduceMean<axes = [0]>(x) d = Sub(x, m) y = Flatten(d)"), UnsupportedError, "over the images",
    ),
    "an activation beyond all memory": (
        model("t = Constant<value_ints = [1, 9999, 9999, 9]>() u = Tile(x, t) y = Flatten(u)"), WeightsError,
        "activation of",
    ),
    "a constant beyond all memory": (
        model("t = Constant<value_ints = [99999, 99999]>() u = ConstantOfShape(t) f = Flatten(x) y = MatMul(f, u)"),
        WeightsError, "memory",
    ),
    "shapes that do not fit": (model("f = Flatten(x) g = Flatten<axis = 2>(x) y = MatMul(f, g)"), WeightsError, "fit"),
    "a value from nowhere": (model("y = Add(x, q)"), WeightsError, "takes 'q', which nothing before it makes"),
    "an output without images": (model("y = Constant<value_floats = [1.0]>()"), WeightsError, "must take one input"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_encoder_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    made, kind, words = REFUSED[case]
    path = write(tmp_path / "bad.onnx", made)
    with pytest.raises(kind, match=words) as caught:
        onnx_network(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "face.onnx", model(FACE), FACE_ARRAYS).read_bytes()
    cut = tmp_path / "cut.onnx"
    for end in range(0, len(whole) - 1, 97):
        cut.write_bytes(whole[:end])
        with pytest.raises(WeightsError):
            onnx_network(cut)


def test_damaged_bytes_never_end_in_another_error(tmp_path: Path) -> None:
    whole = write(tmp_path / "face.onnx", model(FACE), FACE_ARRAYS).read_bytes()
    rng, damaged = np.random.default_rng(0), tmp_path / "damaged.onnx"
    for _ in range(150):
        content = np.frombuffer(whole, "u1").copy()
        content[rng.integers(0, len(content), 3)] = rng.integers(0, 256, 3)
        damaged.write_bytes(content.tobytes())
        # A changed weight is no damage that can be seen; any error but a WeightsError fails the test.
        with contextlib.suppress(WeightsError):
            onnx_network(damaged)


def test_tensors_outside_the_folder_are_refused(tmp_path: Path) -> None:
    import onnx

    made = model("c = Conv(x, w) y = Flatten(c)")
    (tmp_path / "model").mkdir()
    path = write(tmp_path / "model" / "outside.onnx", made, arrays(w=(4, 3, 3, 3)))
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    assert_same(path)
    content = path.read_bytes()
    (tmp_path / "model" / "w.bin").rename(tmp_path / "w.bi")
    # The same length, so that the file stays whole.
    path.write_bytes(content.replace(b"w.bin", b"../w.", 1))
    with pytest.raises(WeightsError, match="outside the file's folder"):
        onnx_network(path)
    path.write_bytes(content)
    (tmp_path / "model" / "w.bin").symlink_to(tmp_path / "w.bi")
    with pytest.raises(WeightsError, match="link"):
        onnx_network(path)
    (tmp_path / "model" / "w.bin").unlink()
    (tmp_path / "model" / "w.bin").write_bytes(bytes(100))
    with pytest.raises(WeightsError, match="longer than the file"):
        onnx_network(path)


def test_a_file_beyond_the_limit_of_the_format_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate((1 << 31) + 1)  # takes no room on the disk
    with pytest.raises(WeightsError, match="more than 2 GB"):
        onnx_network(path)
