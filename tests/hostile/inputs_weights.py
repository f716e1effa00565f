"""Hostile weights files: pickles, PyTorch's two containers, safetensors, HDF5 and TensorFlow Lite."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import pickle
import pickletools
import random
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import torch
from damage import EDGES, TEXTS, damaged
from safetensors.torch import save as safetensors_bytes
from watched import Case, command

from faceinv.errors import LONGEST, WeightsError
from faceinv.weights import load_strictly, read_tensors

_PLUGINS = Path(__file__).parents[2] / "plugins"


class Payload:
    """Makes the canary if anything unpickles it."""

    def __reduce__(self) -> Any:
        return os.system, ("touch ../canary",)


def case(rng: random.Random, index: int, work: Path) -> Case:
    """Return a weights file that every reader is tried on."""
    make = _KINDS[index % len(_KINDS)]
    name, content = make(rng)
    (work / "weights.bin").write_bytes(content)
    return Case(f"{make.__name__.lstrip('_')}: {name}", _read_everywhere, frozenset({0, 4}))


def prepare(folder: Path) -> None:
    """Import what the readers need, so that the time of an import is nobody's."""
    for make in _KINDS:
        make(random.Random(0))
    _readers()


@cache
def _readers() -> tuple[Callable[[Path], Any], ...]:
    from faceinv_arcface.tflite import read_tflite
    from faceinv_facenet.msceleb import read_keras
    from faceinv_stylegan2.files import read_published

    return read_tensors, read_tflite, read_keras, read_published


def _read_everywhere() -> int:
    path = Path("weights.bin")
    for read in _readers():
        try:
            tensors = read(path)
            _use(tensors)
        except WeightsError as error:
            _check_message(error)
    return command("weights", "convert", path, "--out", "out.safetensors")()


def _use(tensors: dict[str, Any]) -> None:
    """Load the tensors into a network of their own shapes, which must have finite results if it is accepted."""
    wanted = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point() and "." not in name}
    module = torch.nn.Module()
    for name, tensor in wanted.items():
        if name.isidentifier() and not hasattr(module, name) and tensor.numel() < 1_000_000:
            module.register_buffer(name, torch.zeros(tensor.shape))
    load_strictly(module, {name: wanted[name] for name in module.state_dict()}, network="its own")
    if not all(bool(tensor.isfinite().all()) for tensor in module.state_dict().values()):
        raise AssertionError("numbers that are not finite were accepted")


def _check_message(error: WeightsError) -> None:
    text = str(error)
    if not text.isprintable() or len(text) > LONGEST:
        raise AssertionError(f"a message of {len(text)} characters: {text[:200]!r}")


def _state(rng: random.Random) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(rng.randrange(1 << 30))
    shapes = [(3,), (2, 3), (4, 2, 3, 3), (), (0, 5)]
    names = rng.sample(["weight", "bias", "module.weight", "a.b.c", "running_var", "w", "num_batches_tracked"], 4)
    return {name: torch.randn(rng.choice(shapes), generator=generator) for name in names}


def _torch_bytes(content: Any, *, legacy: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def _pickle(rng: random.Random) -> tuple[str, bytes]:
    """Pickles of arrays, with a call in them or damaged."""
    content: dict[str, Any] = {name: tensor.numpy() for name, tensor in _state(rng).items()}
    if call := rng.random() < 0.3:
        content[rng.choice(TEXTS)] = Payload()
    whole = pickle.dumps(content, protocol=rng.randrange(pickle.HIGHEST_PROTOCOL + 1))
    if call:
        return "call", whole
    return damaged(rng, whole)


def _opcodes(rng: random.Random) -> tuple[str, bytes]:
    """Sequences of opcodes that no writer makes."""
    names = [
        "posix system", "os system", "builtins eval", "builtins exec", "builtins getattr", "builtins __import__",
        "collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch FloatStorage", "numpy ndarray",
        "numpy.core.multiarray _reconstruct", "numpy dtype", "_codecs encode", "torch.storage _load_from_bytes",
        "subprocess Popen", "pickle loads", "builtins set", "torch Size", "copyreg _reconstructor",
    ]  # fmt: skip
    out = bytearray(rng.choice((b"\x80\x02", b"\x80\x04", b"\x80\x05", b"")))
    if not out or rng.random() < 0.5:
        out += b"}"
    simple = [op.code.encode("latin-1") for op in pickletools.opcodes if op.arg is None and op.code != "."]
    for _ in range(rng.choice((3, 20, 200, 5000))):
        kind = rng.randrange(9)
        if kind < 4:
            out += rng.choice(simple)
        elif kind == 4:
            module, name = rng.choice(names).split()
            out += f"c{module}\n{name}\n".encode()
        elif kind == 5:
            text = rng.choice(("w", "touch ../canary", *TEXTS)).encode(errors="surrogatepass")
            out += b"X" + struct.pack("<I", rng.choice((len(text), len(text), 0xFFFFFFFF))) + text
        elif kind == 6:
            out += rng.choice((b"K\x01", b"J\xff\xff\xff\x7f", b"\x8a\x08" + b"\xff" * 8, b"I01\n", b"L9" + b"9" * 99))
        elif kind == 7:
            out += rng.choice((b"q\x01", b"h\x01", b"r\xff\xff\xff\x7f", b"j\x01\x00\x00\x00", b"\x94"))
        else:
            out += rng.choice((b"P1\n", b"\x82\x01", b"\x95" + struct.pack("<Q", rng.choice(EDGES)), b"(tR", b"(oR"))
    return "random", bytes(out) + b"."


def _nested(rng: random.Random) -> tuple[str, bytes]:
    """Pickles that are small, and grow when they are read."""
    kind = rng.choice(("doubling", "deep", "memo", "shared arrays", "long text", "many names", "repeated tuple"))
    if kind == "doubling":
        return kind, b"\x80\x02" + b"]" + b"q\x00" + b"(h\x00h\x00t\x94q\x00" * rng.choice((30, 3000)) + b"."
    if kind == "deep":
        return kind, b"\x80\x02" + rng.choice((b"(", b"]", b"}", b")")) * 100_000 + b"." * 3
    if kind == "memo":
        return kind, b"\x80\x02}" + b"".join(b"r" + struct.pack("<I", i * 7919) for i in range(50_000)) + b"."
    if kind == "shared arrays":
        tree: Any = {str(i): array for i, array in enumerate([np.zeros(1000)] * 40)}
        for _ in range(rng.choice((2, 7))):
            tree = {str(i): tree for i in range(40)}
        return kind, pickle.dumps(tree)
    if kind == "long text":
        return kind, pickle.dumps({"x" * 1_000_000: np.zeros(2), "y": "z" * 3_000_000})
    if kind == "many names":
        return kind, pickle.dumps({str(i): np.zeros(0, np.float32) for i in range(rng.choice((5_000, 30_000)))})
    return kind, b"\x80\x02)q\x00" + b"(h\x00h\x00h\x00h\x00tq\x00" * 40 + b"}."


def _archive(rng: random.Random) -> tuple[str, bytes]:
    """PyTorch's zip archives."""
    kind = rng.choice(("damaged", "damaged", "call", "twice", "compressed", "names", "stretched", "storage", "comment"))
    state = _state(rng)
    if kind == "call":
        return kind, _torch_bytes({**state, "x": Payload()}, legacy=False)
    if kind == "stretched":
        return kind, _torch_bytes({"w": torch.zeros(1).expand(rng.choice((10, 1 << 20, 1 << 40)))}, legacy=False)
    if kind == "storage":
        shared = torch.zeros(rng.choice((10, 4_000_000)))
        return kind, _torch_bytes({f"w{i}": shared[i % 10 :][:1] for i in range(3000)}, legacy=False)
    whole = _torch_bytes(state, legacy=False)
    if kind == "damaged":
        name, content = damaged(rng, whole)
        return name, content
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(whole)) as old,
        zipfile.ZipFile(stream, "w") as new,
        warnings.catch_warnings(action="ignore"),
    ):
        for info in old.infolist():
            data = old.read(info)
            target = info.filename
            if kind == "names" and rng.random() < 0.5:
                target = rng.choice(("../../canary", "/canary", "a/data.pkl", "", "x" * 60_000, *TEXTS)).replace(
                    "\0", ""
                )
            compress = zipfile.ZIP_DEFLATED if kind == "compressed" else zipfile.ZIP_STORED
            if kind == "compressed" and "/data/" in target:
                data = bytes(300 << 20)
            for _ in range(2 if kind == "twice" else 1):
                new.writestr(target, data, compress)
        new.comment = b"x" * 60_000 if kind == "comment" else b""
    return kind, stream.getvalue()


def _stream(rng: random.Random) -> tuple[str, bytes]:
    """PyTorch's older stream."""
    if rng.random() < 0.2:
        return "call", _torch_bytes({**_state(rng), "x": Payload()}, legacy=True)
    return damaged(rng, _torch_bytes(_state(rng), legacy=True))


def _published(rng: random.Random) -> tuple[str, bytes]:
    """StyleGAN2's published files."""
    files = _module("plugins_stylegan2_files", _PLUGINS / "stylegan2" / "tests" / "stylegan2_files.py")
    whole = files.nvidia_file() if rng.random() < 0.5 else files.rosinality_file()
    return damaged(rng, whole)


def _safetensors(rng: random.Random) -> tuple[str, bytes]:
    """Safetensors with damaged or hostile headers."""
    whole = safetensors_bytes(_state(rng))
    kind = rng.choice(("damaged", "damaged", "header", "many", "text"))
    if kind == "damaged":
        return damaged(rng, whole)
    size = struct.unpack("<Q", whole[:8])[0]
    header, rest = json.loads(whole[8 : 8 + size]), whole[8 + size :]
    if kind == "header":
        entry = header[rng.choice([name for name in header if name != "__metadata__"])]
        key = rng.choice(list(entry))
        entry[key] = rng.choice(
            ([rng.choice(EDGES), rng.choice(EDGES)], [-1], [[]], {}, None, "F64", "X9", [1] * 1000, True, 1e300)
        )
    elif kind == "many":
        header = {f"w{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(150_000)}
        rest = b""
    else:
        raw = rng.choice((b"[" * 100_000, b'{"a":' * 50_000, b"{}", b"null", b"\xff" * 50, b'{"a":1,"a":2}'))
        return kind, struct.pack("<Q", rng.choice((len(raw), len(raw), rng.choice(EDGES)))) + raw + rest
    raw = json.dumps(header).encode()
    return kind, struct.pack("<Q", len(raw)) + raw + rest


def _hdf5(rng: random.Random) -> tuple[str, bytes]:
    """HDF5 files of Keras models."""
    kind = rng.choice(("damaged", "damaged", "bomb", "link", "types", "names"))
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        layers = file.create_group("model_weights")
        for number in range(3):
            name = rng.choice(TEXTS).replace("\0", "").replace("/", "").strip(".") if kind == "names" else ""
            layer = f"layer{number}{name}"
            scope = layers.create_group(f"{layer}/{layer}")
            if kind == "bomb":
                for part in range(rng.choice((1, 60))):
                    scope.create_dataset(f"w{part}", (7000, 7000), "f4", chunks=(7000, 7000), compression="gzip")
            elif kind == "link":
                scope["kernel:0"] = rng.choice(
                    (h5py.SoftLink("/model_weights"), h5py.ExternalLink("/etc/passwd", "/x"), h5py.SoftLink("/gone"))
                )
                scope.create_dataset("e:0", (4,), "f4", external=[("../outside/parts/thesis.txt", 0, 16)])
            elif kind == "types":
                data: Any = rng.choice((np.zeros(3, "f8"), np.array([b"x"]), h5py.Empty("f4"), np.zeros(0, "f4")))
                scope.create_dataset("kernel:0", data=data)
            else:
                scope.create_dataset("kernel:0", data=np.ones((2, 3), "f4"))
    whole = stream.getvalue()
    return damaged(rng, whole) if kind == "damaged" else (kind, whole)


def _tflite(rng: random.Random) -> tuple[str, bytes]:
    """TensorFlow Lite files."""
    writer = _module("plugins_tflite_writer", _PLUGINS / "arcface" / "tests" / "conftest.py")
    arrays = {rng.choice(TEXTS)[:50] + str(i): np.ones((2, 3), "float32") for i in range(3)}
    return damaged(rng, writer.to_tflite(arrays))


def _numbers(rng: random.Random) -> tuple[str, bytes]:
    """Whole files whose numbers cannot be weights."""
    value = rng.choice((float("nan"), float("inf"), -float("inf"), 3e38))
    state = {"weight": torch.ones(4, 5), "running_var": torch.ones(5)}
    name = rng.choice(list(state))
    state[name].view(-1)[rng.randrange(state[name].numel())] = -1.0 if name == "running_var" else value
    form = rng.randrange(4)
    if form == 3:
        return f"{value} in a pickle", pickle.dumps({key: tensor.numpy() for key, tensor in state.items()})
    return f"{value}", safetensors_bytes(state) if form == 2 else _torch_bytes(state, legacy=bool(form))


def _noise(rng: random.Random) -> tuple[str, bytes]:
    """Bytes without sense after a format's first bytes."""
    heads = (b"PK\x03\x04", b"\x80\x02", b"\x89HDF\r\n\x1a\n", b"\x1c\0\0\0TFL3", b"\x1f\x8b", b"\x93NUMPY", b"{", b"")
    return "random", rng.choice(heads) + rng.randbytes(rng.choice((1, 8, 100, 10_000)))


_KINDS: tuple[Callable[[random.Random], tuple[str, bytes]], ...] = (
    _pickle, _opcodes, _nested, _archive, _stream, _published, _safetensors, _hdf5, _tflite, _numbers, _noise,
)  # fmt: skip


@cache
def _module(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
