"""Hostile files: nothing in them is executed, they use no memory, and each error is one clear line."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from faceinv_stylegan2.files import convert, load, read_published
from safetensors.torch import save_file
from stylegan2_files import Module, fir, nvidia_modules, nvidia_pickle, rosinality_state, write_nvidia, write_rosinality

from faceinv.errors import WeightsError

#: Audit events of the interpreter when code is executed, imported by a pickle, or passed to the system.
HARM = {"exec", "compile", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class", "import"}

_seen: list[str] | None = None


def _audit(event: str, _: Any) -> None:
    if _seen is not None and event in HARM:
        _seen.append(event)


sys.addaudithook(_audit)


@contextlib.contextmanager
def nothing_runs() -> Iterator[None]:
    """Fail if anything is executed or imported in the block."""
    global _seen
    _seen = []
    try:
        yield
    finally:
        seen, _seen = _seen, None
    assert not seen


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Import the modules that the reader imports on first use."""
    folder = tmp_path_factory.mktemp("warm")
    b"x".decode("cp437")  # of the names in a zip archive
    for write in (write_nvidia, write_rosinality):
        convert(write(folder / "x"), folder / "x.safetensors")
    with pytest.raises(WeightsError):
        read_published(Path(__file__))


def refused(path: Path, match: str | None = None, read: Callable[[Path], Any] = read_published) -> str:
    """Return the message that a file is refused with; it must be one line."""
    with nothing_runs(), pytest.raises(WeightsError, match=match) as caught:
        read(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert text.isprintable()
    assert len(text) < 800
    return text


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


CALLS = {
    "system": lambda: Call(os.system, "exit 7"),
    "exec": lambda: Call(exec, "raise SystemExit"),
    "eval": lambda: Call(eval, "1"),
    "getattr": lambda: Call(getattr, os, "system"),
    "import": lambda: Call(__import__, "this"),
    "open": lambda: Call(open, "made-by-a-pickle", "w"),
    "loads": lambda: Call(pickle.loads, pickle.dumps(Call(os.system, "exit 7"))),
    "torch.load": lambda: Call(torch.load, "x", None, None),
}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [kind for kind in CALLS if kind != "getattr"])
def test_a_call_is_refused_by_name(tmp_path: Path, kind: str, protocol: int) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(nvidia_pickle(CALLS[kind](), protocol))
    assert "never run" in refused(path, match=r"needs '[\w.]+'")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_call_in_a_torch_file(tmp_path: Path, legacy: bool) -> None:
    content = {"g_ema": rosinality_state(), "args": CALLS["system"]()}
    torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=not legacy)
    refused(tmp_path / "x.pt", match=r"needs '(posix|nt)\.system'")


def test_a_call_deep_inside_a_good_generator(tmp_path: Path) -> None:
    generator = nvidia_modules()
    generator.state["_modules"]["mapping"].state["_modules"]["fc1"].state["activation"] = CALLS["system"]()
    (tmp_path / "x.pkl").write_bytes(nvidia_pickle(generator))
    refused(tmp_path / "x.pkl", match=r"needs '(posix|nt)\.system'")


def test_a_pickle_inside_the_bytes_of_a_tensor(tmp_path: Path) -> None:
    """``_load_from_bytes`` is a nested ``torch.load``; our stand-in only reads one storage."""
    generator = nvidia_modules()
    inner = pickle.dumps(CALLS["system"]())
    storage = Call(torch.storage._load_from_bytes, inner)
    generator.state["_modules"]["mapping"].state["_buffers"]["w_avg"] = storage
    (tmp_path / "x.pkl").write_bytes(nvidia_pickle(generator))
    refused(tmp_path / "x.pkl", match=r"needs '(posix|nt)\.system'")
    torch.save(Call(os.system, "exit 7"), tmp_path / "inner", _use_new_zipfile_serialization=False)
    for content in ((tmp_path / "inner").read_bytes(), b"", b"\x80\x02N.", b"PK\x03\x04"):
        generator.state["_modules"]["mapping"].state["_buffers"]["w_avg"] = Call(
            torch.storage._load_from_bytes, content
        )
        (tmp_path / "x.pkl").write_bytes(nvidia_pickle(generator))
        refused(tmp_path / "x.pkl")


def test_bytes_that_nobody_asks_for_stay_bytes(tmp_path: Path) -> None:
    generator = nvidia_modules()
    generator.state["note"] = pickle.dumps(CALLS["system"]())
    (tmp_path / "x.pkl").write_bytes(nvidia_pickle(generator))
    assert "mapping.0.weight" in read_published(tmp_path / "x.pkl")


def test_the_source_in_a_file_is_not_run(tmp_path: Path) -> None:
    """Each module of a valid file contains source that ends the program; another reader would execute it."""
    content = write_nvidia(tmp_path / "x.pkl").read_bytes()
    assert b"raise SystemExit('the source in a file was run')" in content
    with nothing_runs():
        assert read_published(tmp_path / "x.pkl")
    # Nor is it in the cached file.
    convert(tmp_path / "x.pkl", tmp_path / "x.safetensors")
    assert b"SystemExit" not in (tmp_path / "x.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("torch._utils", "_rebuild_tensor_v3"),
        ("torch_utils.persistence", "_src_to_module"),
        ("torch_utils.persistence", "os.system"),
        ("torch_utils", "persistence"),
        ("torch.storage", "_load_from_bytes.__code__"),
        ("torch.serialization", "load"),
        ("torch", "FloatStorage.from_file"),
        ("collections", "OrderedDict.__class__"),
        ("collections", "OrderedDict\n"),
        ("dnnlib.util", "open_url"),
        ("dnnlib.util", "EasyDict.__init__.__globals__"),
        ("numpy.core.multiarray", "fromfile"),
        ("_codecs", "decode"),
        ("builtins", "set.__subclasses__"),
        ("t\u043erch._utils", "_rebuild_tensor_v2"),  # a Cyrillic o
        ("torch._utils", "_rebuild_tensor_v2\u200b"),
        ("\x1b[2Jtorch", "x" * 10_000),
    ],
)
def test_a_look_alike_is_refused(tmp_path: Path, module: str, name: str) -> None:
    def text(value: str) -> bytes:
        raw = value.encode()
        return b"X" + len(raw).to_bytes(4, "little") + raw

    (tmp_path / "x.pkl").write_bytes(b"\x80\x04" + text(module) + text(name) + b"\x93)R.")
    refused(tmp_path / "x.pkl", match="never run")
    if "\n" not in name and (module + name).isascii():
        (tmp_path / "x.pkl").write_bytes(b"\x80\x02c" + module.encode() + b"\n" + name.encode() + b"\n)R.")
        refused(tmp_path / "x.pkl", match="never run")


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02]q\x00" + b"\x86".join([b"h\x00"] * 2) + b".",
        b"\x80\x02\x82\x01.",  # an extension code
        b"\x80\x02(i__main__\nx\n.",
        b"\x80\x02ccollections\nOrderedDict\n}b.",  # modifies a global
        b"\x80\x02ccollections\nOrderedDict\n)\x81}\x92.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # 8 EiB of bytes
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",  # 8 EiB of text
        b"\x80\x02\x8b\xff\xff\xff\x7f.",  # a number of 2 GiB
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x02}r\xff\xff\xff\x7f.",  # a memo of 16 GiB
        b"\x80\x02" + b"(" * 20_000 + b".",
        b"\x80\x02)" + b"\x85" * 20_000 + b".",  # deeply nested tuples
        b"\x80\x02]q\x00" + b"h\x00h\x00\x86q\x00" * 10_000 + b".",  # doubled ten thousand times
        b"\x80\x02}q\x00X\x04\x00\x00\x00G_emah\x00s.",  # contains itself
        b"\x80\x02" + b"N0" * 10,
    ],
)
def test_a_program_of_opcodes_ends_soon_and_takes_no_memory(tmp_path: Path, program: bytes) -> None:
    (tmp_path / "x.pkl").write_bytes(program)
    tracemalloc.start()
    refused(tmp_path / "x.pkl")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def with_weight(weight: Any) -> bytes:
    """Return NVIDIA's pickle with something else in place of one weight."""
    generator = nvidia_modules()
    generator.state["_modules"]["mapping"].state["_modules"]["fc0"].state["_parameters"]["weight"] = weight
    return nvidia_pickle(generator)


def rebuilt(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> Call:
    storage = torch.zeros(24 * 24).untyped_storage()
    typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
    return Call(torch._utils._rebuild_tensor_v2, typed, offset, size, stride, False, None)


@pytest.mark.filterwarnings("ignore:TypedStorage")
@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((1 << 40, 1 << 20), (1 << 20, 1), 0),
        ((24, 1 << 60), (0, 0), 0),  # one number used for all elements
        ((24, 24), (24, 1), 1 << 61),
        ((24, 24), (24, 1), -1),
        ((24, -24), (24, 1), 0),
        ((24, 24), (1 << 61, 1), 0),
        ((24, 24), (24,), 0),
        ((1,) * 70, (1,) * 70, 0),
        ((24.0, 24), (24, 1), 0),
        (("24", 24), (24, 1), 0),
    ],
)
def test_giant_and_senseless_shapes(tmp_path: Path, size: Any, stride: Any, offset: int) -> None:
    (tmp_path / "x.pkl").write_bytes(with_weight(rebuilt(size, stride, offset)))
    tracemalloc.start()
    refused(tmp_path / "x.pkl")
    assert tracemalloc.get_traced_memory()[1] < 40_000_000
    tracemalloc.stop()


def test_a_storage_that_claims_more_than_is_there(tmp_path: Path) -> None:
    content = write_nvidia(tmp_path / "x.pkl").read_bytes()
    # The pickle of the storage says that the mapping network's first weight has 576 numbers.
    assert b"M\x40\x02" in content
    (tmp_path / "x.pkl").write_bytes(content.replace(b"M\x40\x02", b"M\xff\xff"))
    refused(tmp_path / "x.pkl")


def test_one_module_under_many_names(tmp_path: Path) -> None:
    generator = nvidia_modules()
    layers = generator.state["_modules"]["mapping"].state["_modules"]
    layers.update({f"fc{i}": layers["fc0"] for i in range(20_001)})
    (tmp_path / "x").write_bytes(nvidia_pickle(generator))
    with pytest.raises(WeightsError, match="more than 20,000 tensors"):
        read_published(tmp_path / "x")


def test_many_tensors_in_a_torch_file(tmp_path: Path) -> None:
    state = rosinality_state() | dict.fromkeys((f"{i}.blur.kernel" for i in range(20_001)), fir() * 4)
    torch.save({"g_ema": state}, tmp_path / "x")
    with pytest.raises(WeightsError, match="more than 20,000 tensors"):
        read_published(tmp_path / "x")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
@pytest.mark.parametrize("convert_first", [False, True])
def test_values_that_are_not_weights(tmp_path: Path, value: float, convert_first: bool) -> None:
    state = rosinality_state()
    if convert_first:
        torch.save({"g_ema": state}, tmp_path / "good")
        tensors = load(tmp_path / "good")
        tensors["mapping.0.weight"][0, 0] = value
        save_file(tensors, tmp_path / "x")
    else:
        state["style.1.weight"][0, 0] = value
        torch.save({"g_ema": state}, tmp_path / "x")
    with pytest.raises(WeightsError, match=r"not weights.*mapping\.0\.weight"):
        load(tmp_path / "x")


def test_tensors_that_overlap(tmp_path: Path) -> None:
    """All tensors share one large storage: together they would be far larger than the file."""
    shared = torch.zeros(1 << 16)
    torch.save(
        {"g_ema": {name: shared[: t.numel()].reshape(t.shape) for name, t in rosinality_state().items()}},
        tmp_path / "x.pt",
    )
    refused(tmp_path / "x.pt")


def test_not_a_generator(tmp_path: Path) -> None:
    for generator in (None, {}, 7, [], "G", Module("Generator", {}, {}), {"mapping": {}}):
        (tmp_path / "x.pkl").write_bytes(nvidia_pickle(generator))
        refused(tmp_path / "x.pkl")
    for name, value in (("c_dim", 10), ("c_dim", "0"), ("c_dim", 10**400)):
        generator = nvidia_modules()
        generator.state[name] = value
        (tmp_path / "x.pkl").write_bytes(nvidia_pickle(generator))
        refused(tmp_path / "x.pkl")


def test_names_cannot_reach_the_terminal(tmp_path: Path) -> None:
    state = rosinality_state() | {"\x1b]0;owned\x07\nError: none": torch.zeros(1), "y" * 20_000: torch.zeros(1)}
    torch.save({"g_ema": state}, tmp_path / "x.pt")
    assert r"\x1b]0;owned\x07\nError" in refused(tmp_path / "x.pt", match="unexpected")


@pytest.mark.parametrize("layout", ["nvidia", "nvidia, protocol 2", "zip", "stream", "safetensors"])
def test_truncated_at_every_hundredth(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "x"
    if layout.startswith("nvidia"):
        write_nvidia(path, 2 if "2" in layout else 4)
    else:
        torch.save({"g_ema": rosinality_state()}, path, _use_new_zipfile_serialization=layout != "stream")
    if layout == "safetensors":
        convert(path, path)
    whole = path.read_bytes()
    load(path)
    for percent in range(100):
        path.write_bytes(whole[: len(whole) * percent // 100])
        refused(path, read=load)


class TestZips:
    """Archives that torch.save did not write, or that are incomplete."""

    @staticmethod
    def rewritten(source: Path, target: Path, compression: int = zipfile.ZIP_STORED, **changed: bytes | None) -> Path:
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
            for name in old.namelist():
                content = changed.get(name.rpartition("/")[2].replace(".", "_"), old.read(name))
                if content is not None:
                    new.writestr(name, content)
        return target

    def test_another_zip(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
            archive.writestr("word/document.xml", "<xml/>")
        refused(tmp_path / "x.pt", match=r"not one of torch\.save")
        (tmp_path / "x.pt").write_bytes(b"PK\x05\x06" + bytes(18))
        refused(tmp_path / "x.pt")

    def test_compressed_records(self, tmp_path: Path) -> None:
        """torch.save does not compress its records; a compressed one could expand to any size."""
        good = write_rosinality(tmp_path / "good.pt")
        refused(self.rewritten(good, tmp_path / "x.pt", zipfile.ZIP_DEFLATED), match="compressed")
        bomb = self.rewritten(good, tmp_path / "x.pt", zipfile.ZIP_DEFLATED, data_pkl=bytes(50_000_000))
        tracemalloc.start()
        refused(bomb)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
        tracemalloc.stop()

    @pytest.mark.parametrize("content", [None, b"", b"\x80\x02N.", b"cos\nsystem\n(S'exit 7'\ntR."])
    def test_another_description(self, tmp_path: Path, content: bytes | None) -> None:
        refused(self.rewritten(write_rosinality(tmp_path / "good.pt"), tmp_path / "x.pt", data_pkl=content))

    def test_a_record_is_missing_or_of_another_length(self, tmp_path: Path) -> None:
        good = write_rosinality(tmp_path / "good.pt")
        with zipfile.ZipFile(good) as archive:
            name = next(name for name in archive.namelist() if "/data/" in name).rpartition("/")[2]
        for content in (None, b"", bytes(10_000)):
            refused(self.rewritten(good, tmp_path / "x.pt", **{name: content}), match="damaged")

    def test_a_flipped_byte_is_noticed(self, tmp_path: Path) -> None:
        good = bytearray(write_rosinality(tmp_path / "x.pt").read_bytes())
        with zipfile.ZipFile(tmp_path / "x.pt") as archive:
            record = max(archive.infolist(), key=lambda info: info.file_size)
        good[record.header_offset + 200 + record.file_size // 2] ^= 1
        (tmp_path / "x.pt").write_bytes(good)
        refused(tmp_path / "x.pt", match="CRC")

    def test_big_endian(self, tmp_path: Path) -> None:
        good = write_rosinality(tmp_path / "good.pt")
        refused(self.rewritten(good, tmp_path / "x.pt", byteorder=b"big"), match="big-endian")
