"""Reading tensors from arbitrary files, and loading them strictly."""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from faceinv.errors import WeightsError
from faceinv.weights import (
    TENSOR_BUILDERS,
    Budget,
    TensorsError,
    load_strictly,
    opened,
    read_archive,
    read_tensors,
)
from faceinv.weights.formats.opening import MAX_TENSORS


def numbers(*shape: int) -> Tensor:
    return torch.arange(float(np.prod(shape, dtype=int))).reshape(shape) - 2


STATE = {"a.weight": numbers(2, 3), "a.bias": numbers(2), "n.num_batches_tracked": torch.tensor(5)}


def same(given: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return given.keys() == expected.keys() and all(torch.equal(given[name], expected[name]) for name in expected)


def save(path: Path, content: Any, *, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


class TestContainers:
    @pytest.mark.parametrize("legacy", [False, True])
    @pytest.mark.parametrize(
        "wrap",
        [
            lambda s: s,
            lambda s: OrderedDict(s),
            lambda s: {"state_dict": s, "epoch": 3},
            lambda s: {"state_dict_backbone": s, "state_optimizer": {"lr": 0.1}},
            lambda s: {f"module.{name}": tensor for name, tensor in s.items()},
            lambda s: {"state_dict": {f"module.{name}": tensor for name, tensor in s.items()}},
        ],
    )
    def test_torch_file(self, tmp_path: Path, wrap: Any, legacy: bool) -> None:
        assert same(read_tensors(save(tmp_path / "x.pth", wrap(STATE), legacy=legacy)), STATE)

    def test_parameters_are_read_as_tensors(self, tmp_path: Path) -> None:
        state = {"w": nn.Parameter(numbers(3))}
        read = read_tensors(save(tmp_path / "x", state))
        assert not read["w"].requires_grad

    def test_nest_of_the_caller(self, tmp_path: Path) -> None:
        path = save(tmp_path / "x.tar", {"net": STATE})
        assert same(read_tensors(path, nests=("net",)), STATE)

    def test_safetensors_under_any_suffix(self, tmp_path: Path) -> None:
        save_file(STATE, tmp_path / "x.pth")
        assert same(read_tensors(tmp_path / "x.pth"), STATE)

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    @pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<i8", "|u1"])
    def test_pickle_of_arrays(self, tmp_path: Path, protocol: int, dtype: str) -> None:
        arrays = {
            "a.weight": np.arange(6).reshape(2, 3).astype(dtype),
            "fortran": np.asfortranarray(np.arange(6).reshape(2, 3).astype(dtype)),
            "scalar": np.array(7).astype(dtype),
        }
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(arrays, protocol=protocol))
        read = read_tensors(tmp_path / "x.pkl")
        assert all(np.array_equal(read[name].numpy(), arrays[name]) for name in arrays)
        assert read.keys() == arrays.keys()

    def test_nested_pickle_of_arrays_has_dotted_names(self, tmp_path: Path) -> None:
        nested = {"a": {"weight": STATE["a.weight"].numpy(), "bias": STATE["a.bias"].numpy()}}
        nested["n"] = {"num_batches_tracked": STATE["n.num_batches_tracked"].numpy()}
        for content in (nested, {"state_dict": nested, "epoch": 3}):
            (tmp_path / "x.ckpt").write_bytes(pickle.dumps(content))
            assert same(read_tensors(tmp_path / "x.ckpt"), STATE)

    def test_pickle_that_contains_itself_ends(self, tmp_path: Path) -> None:
        endless: dict[str, Any] = {"w": np.zeros(2)}
        endless["again"] = endless
        (tmp_path / "x.ckpt").write_bytes(pickle.dumps(endless))
        with pytest.raises(WeightsError, match="nested more than 8 deep"):
            read_tensors(tmp_path / "x.ckpt")

    def test_pickle_that_refers_to_one_array_many_times_ends(self, tmp_path: Path) -> None:
        tree: dict[str, Any] = {str(i): array for i, array in enumerate([np.zeros(1000)] * 40)}
        for _ in range(7):
            tree = {str(i): tree for i in range(40)}
        (tmp_path / "x.ckpt").write_bytes(pickle.dumps(tree))
        with pytest.raises(WeightsError, match="more than 20,000 tensors"):
            read_tensors(tmp_path / "x.ckpt")

    def test_pickle_written_by_python_2(self, tmp_path: Path) -> None:
        # {'b': array([1., -2.], dtype=float32)} as Python 2 and NumPy 1 wrote it, protocol 2.
        raw = np.array([1, -2], "<f4").tobytes()
        data = (
            b"\x80\x02}q\x00U\x01bq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85"
            b"q\x04U\x01bq\x05\x87q\x06Rq\x07(K\x01K\x02\x85q\x08cnumpy\ndtype\nq\x09U\x02f4q\x0aK\x00K\x01\x87q\x0b"
            b"Rq\x0c(K\x03U\x01<q\x0dNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89U" + bytes([len(raw)]) + raw
        ) + b"q\x0ftq\x10bs."
        (tmp_path / "x.pkl").write_bytes(data)
        assert torch.equal(read_tensors(tmp_path / "x.pkl")["b"], torch.tensor([1.0, -2.0]))


class Runs:
    """Creates a file if a reader unpickles it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


class TestHostileFiles:
    @pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
    def test_code_is_refused_by_name_and_not_run(self, tmp_path: Path, kind: str) -> None:
        mark, path = tmp_path / "ran", tmp_path / "x"
        content = {"w": numbers(2), "bad": Runs(mark)}
        if kind == "pickle":
            path.write_bytes(pickle.dumps({"w": np.zeros(2), "bad": Runs(mark)}))
        else:
            save(path, content, legacy=kind == "legacy")
        with pytest.raises(WeightsError, match=r"needs '(posix|nt|os)\.mkdir'.*never run"):
            read_tensors(path)
        assert not mark.exists()
        pickle.loads(pickle.dumps(Runs(mark)))  # noqa: S301  # the same bytes do run in another reader
        assert mark.exists()

    @pytest.mark.parametrize("legacy", [False, True])
    def test_checkpoint_with_an_object_names_its_class(self, tmp_path: Path, legacy: bool) -> None:
        path = save(tmp_path / "x", {"state_dict": STATE, "args": argparse.Namespace(lr=1)}, legacy=legacy)
        with pytest.raises(WeightsError, match=r"needs 'argparse\.Namespace'"):
            read_tensors(path)

    def test_stretched_tensor(self, tmp_path: Path) -> None:
        path = save(tmp_path / "x", {"w": torch.zeros(1).expand(1 << 40)})
        with pytest.raises(WeightsError, match="needs more numbers than the file has"):
            read_tensors(path)

    def test_one_storage_under_many_names(self, tmp_path: Path) -> None:
        path = save(tmp_path / "x", dict.fromkeys((f"w{i}" for i in range(100)), torch.zeros(10_000)))
        with pytest.raises(WeightsError, match="claim more bytes"):
            read_tensors(path)

    @pytest.mark.parametrize("make", [lambda: torch.eye(3).to_sparse(), lambda: torch.empty(5, device="meta")])
    def test_tensor_without_plain_content(self, tmp_path: Path, make: Any) -> None:
        with pytest.raises(WeightsError):
            read_tensors(save(tmp_path / "x", {"w": make()}))

    def test_array_that_claims_more_than_it_holds(self, tmp_path: Path) -> None:
        data = pickle.dumps({"w": np.zeros(3, np.float32)}, protocol=2)
        giant = data.replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85", 1)
        assert giant != data
        (tmp_path / "x").write_bytes(giant)
        with pytest.raises(WeightsError, match="'w': it is not a consistent array"):
            read_tensors(tmp_path / "x")

    def test_array_of_objects(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(pickle.dumps({"w": np.array([None, {}], dtype=object)}))
        with pytest.raises(WeightsError, match="'w': it is not a consistent array"):
            read_tensors(tmp_path / "x")

    def test_giant_memo_takes_no_memory(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"\x80\x02}r\xff\xff\xff\x7f.")
        with pytest.raises(WeightsError, match="no state dict"):
            read_tensors(tmp_path / "x")

    @pytest.mark.parametrize("kind", ["zip", "legacy", "pickle", "safetensors"])
    def test_truncated_anywhere(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "x"
        state = {"a.weight": numbers(20, 3), "a.bias": numbers(7)}
        if kind == "pickle":
            path.write_bytes(pickle.dumps({name: tensor.numpy() for name, tensor in state.items()}))
        elif kind == "safetensors":
            save_file(state, path)
        else:
            save(path, state, legacy=kind == "legacy")
        whole = path.read_bytes()
        assert same(read_tensors(path), state)
        for percent in range(100):
            path.write_bytes(whole[: len(whole) * percent // 100])
            with pytest.raises(WeightsError) as caught:
                read_tensors(path)
            assert str(path) in str(caught.value)
            assert "\n" not in str(caught.value)

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def test_any_damage_ends_in_one_line(self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
        path = tmp_path_factory.getbasetemp() / "damaged"
        kind = data.draw(st.sampled_from(["zip", "legacy", "pickle", "safetensors", "anything"]))
        if kind == "anything":
            content = bytearray(data.draw(st.binary(min_size=1, max_size=200)))
        else:
            content = bytearray(_small(kind))
            for _ in range(data.draw(st.integers(1, 4))):
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(bytes(content))
        try:
            tensors = read_tensors(path)
        except WeightsError as error:
            assert "\n" not in str(error)  # noqa: PT017  # either outcome is right
        else:
            assert all(isinstance(tensor, Tensor) for tensor in tensors.values())


def _small(kind: str) -> bytes:
    stream = io.BytesIO()
    state = {"a": numbers(2, 3), "b": numbers(2)}
    if kind == "pickle":
        return pickle.dumps({name: tensor.numpy() for name, tensor in state.items()}, protocol=2)
    if kind == "safetensors":
        from safetensors.torch import save as to_bytes

        return to_bytes(state)
    torch.save(state, stream, _use_new_zipfile_serialization=kind == "zip")
    return stream.getvalue()


class TestBounds:
    @pytest.mark.parametrize("legacy", [False, True])
    def test_storage_of_many_tensors_is_read_once(self, tmp_path: Path, legacy: bool) -> None:
        numbers_of_all = numbers(250_000)
        state = {f"w{i}": numbers_of_all[i : i + 1] for i in range(1000)}
        # Read anew for each tensor, it would exceed the bound on bytes a thousand times over.
        assert same(read_tensors(save(tmp_path / "x", state, legacy=legacy)), state)

    def test_tensors_with_one_storage_do_not_share_memory(self, tmp_path: Path) -> None:
        whole = numbers(6)
        read = read_tensors(save(tmp_path / "x", {"a": whole, "b": whole, "c": whole[2:], "d": whole.reshape(2, 3).T}))
        read["a"].zero_()
        assert torch.equal(read["b"], whole)
        assert torch.equal(read["c"], whole[2:])
        assert torch.equal(read["d"], whole.reshape(2, 3).T)

    def test_reads_are_charged_to_the_budget(self, tmp_path: Path) -> None:
        path = save(tmp_path / "x", {"a": numbers(1000), "b": numbers(1000)})
        with open(path, "rb") as file:
            content = read_archive(file, path.stat().st_size, TENSOR_BUILDERS, budget=Budget(1000, 1000, read=7000))
            content["a"].read()
            with pytest.raises(WeightsError, match="more bytes than the file"):
                content["b"].read()

    @pytest.mark.parametrize("kind", ["zip", "legacy", "pickle", "safetensors"])
    def test_number_of_tensors(self, tmp_path: Path, kind: str) -> None:
        path, names = tmp_path / "x", [f"w{i}" for i in range(MAX_TENSORS + 1)]
        if kind == "safetensors":
            header = json.dumps({name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for name in names})
            path.write_bytes(struct.pack("<Q", len(header)) + header.encode())
        elif kind == "pickle":
            path.write_bytes(pickle.dumps(dict.fromkeys(names, np.zeros(0))))
        else:
            save(path, dict.fromkeys(names, numbers(0)), legacy=kind == "legacy")
        with pytest.raises(WeightsError, match="more than 20,000 tensors"):
            read_tensors(path)

    def test_header_of_safetensors(self, tmp_path: Path) -> None:
        header = json.dumps({"w": {"dtype": "F32", "shape": [1] * 3_000_000, "data_offsets": [0, 4]}})
        (tmp_path / "x").write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(4))
        with pytest.raises(WeightsError, match="description is larger than 8,000,000 bytes"):
            read_tensors(tmp_path / "x")

    @pytest.mark.parametrize("allocate", [lambda: np.zeros(1 << 56), lambda: torch.empty(1 << 56)])
    def test_too_little_memory_is_a_weights_error(self, tmp_path: Path, allocate: Any) -> None:
        (tmp_path / "x").write_bytes(b"x")
        with pytest.raises(WeightsError, match="more memory than is free"), opened(tmp_path / "x"):
            allocate()

    def test_other_errors_are_not_taken_for_a_lack_of_memory(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(b"x")
        with pytest.raises(RuntimeError, match="a bug"), opened(tmp_path / "x"):
            raise RuntimeError("a bug")

    def test_pipe_is_refused_at_once(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "x")
        with pytest.raises(WeightsError, match="it is a pipe, socket or device, not a file"):
            read_tensors(tmp_path / "x")


class TestOtherFiles:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "empty"),
            (b"\x89HDF\r\n\x1a\n" + bytes(20), "an HDF5 file"),
            (b"\x1c\0\0\0TFL3" + bytes(20), "a TensorFlow Lite file"),
            (b"\x1f\x8b\x08" + bytes(20), "gzip"),
            (b"hello, world, this is text", "not a PyTorch file"),
            (pickle.dumps([1, 2]), "no state dict"),
            (pickle.dumps({"a": 1}), "the keys a"),
            (pickle.dumps({"a": np.zeros(2), 3: np.zeros(2)}), "'3'"),
        ],
    )
    def test_message_names_the_format(self, tmp_path: Path, content: bytes, said: str) -> None:
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(WeightsError, match=said):
            read_tensors(tmp_path / "x")

    def test_missing_file_and_folder(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="does not exist"):
            read_tensors(tmp_path / "x")
        with pytest.raises(WeightsError, match="cannot be read"):
            read_tensors(tmp_path)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 2)
        self.n = nn.BatchNorm1d(2)


def full() -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(tensor.shape, generator=rng)
        for name, tensor in Small().state_dict().items()
        if tensor.is_floating_point()
    }


class TestLoadStrictly:
    @pytest.mark.parametrize("device", ["cpu", "meta"])
    def test_fills_every_tensor(self, device: str) -> None:
        with torch.device(device):
            module = Small()
        load_strictly(module, full(), network="small")
        state = module.state_dict()
        assert all(torch.equal(state[name], tensor) for name, tensor in full().items())
        assert state["n.num_batches_tracked"] == 0

    def test_half_precision_becomes_the_modules_type(self) -> None:
        module = Small()
        load_strictly(module, {name: tensor.half() for name, tensor in full().items()}, network="small")
        assert module.a.weight.dtype == torch.float32

    def test_names_and_layout_of_the_file(self) -> None:
        tensors = full()
        theirs = {("dense/kernel" if name == "a.weight" else name): tensor for name, tensor in tensors.items()}
        theirs["dense/kernel"] = theirs["dense/kernel"].T
        module = Small()
        load_strictly(
            module,
            theirs,
            network="small",
            names={"a.weight": "dense/kernel"},
            convert=lambda name, tensor: tensor.T if name == "a.weight" else tensor,
        )
        assert torch.equal(module.a.weight, tensors["a.weight"])

    def test_everything_wrong_is_named_once_and_at_most_five_of_a_kind(self) -> None:
        tensors = full() | {f"extra{i}": torch.zeros(1) for i in range(7)}
        tensors["n.weight"] = torch.zeros(9)
        del tensors["a.bias"]
        with pytest.raises(TensorsError) as caught:
            load_strictly(Small(), tensors, network="small")
        text = str(caught.value)
        assert "'small'" in text
        assert "1 missing (a.bias)" in text
        assert "1 wrongly shaped (n.weight (9,) instead of (2,))" in text
        assert "7 unexpected (extra0, extra1, extra2, extra3, extra4 and 2 more)" in text
        assert "\n" not in text
        assert caught.value.shapes["n.weight"] == (9,)

    def test_missing_tensors_are_named_as_the_file_would(self) -> None:
        tensors = full()
        del tensors["a.weight"]
        with pytest.raises(TensorsError, match=r"1 missing \(dense/kernel\)"):
            load_strictly(Small(), tensors, network="small", names={"a.weight": "dense/kernel"})

    def test_integers_are_not_weights(self) -> None:
        tensors = full()
        tensors["a.bias"] = torch.zeros(2, dtype=torch.int8)
        with pytest.raises(TensorsError, match=r"a\.bias of type torch\.int8"):
            load_strictly(Small(), tensors, network="small")

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38, -3e38])
    def test_values_that_are_not_weights(self, value: float) -> None:
        tensors = full()
        tensors["a.weight"][1, 2] = value
        with pytest.raises(TensorsError, match=r"numbers for 'small' are not weights: 1 of 6 tensors .*\(dense\)"):
            load_strictly(
                Small(),
                {("dense" if n == "a.weight" else n): t for n, t in tensors.items()},
                network="small",
                names={"a.weight": "dense"},
            )

    def test_double_precision_that_overflows(self) -> None:
        with pytest.raises(TensorsError, match="not weights"):
            load_strictly(Small(), {name: tensor.double() * 1e300 for name, tensor in full().items()}, network="small")

    def test_negative_variance(self) -> None:
        tensors = full()
        tensors["n.running_var"] = -tensors["n.running_var"]
        with pytest.raises(TensorsError, match=r"running_var"):
            load_strictly(Small(), tensors, network="small")

    def test_a_failure_leaves_the_module_as_it_was(self) -> None:
        module = Small()
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        with pytest.raises(TensorsError):
            load_strictly(module, full() | {"x": torch.zeros(1)}, network="small")
        assert same(module.state_dict(), before)

    def test_ignored_tensors(self) -> None:
        load_strictly(Small(), full() | {"head.weight": torch.zeros(1)}, network="small", ignore=["head.*"])
