"""The bank: every image once, what is there never again, whatever stopped the process before."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import filelock
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from torch import Tensor

from faceinv.bank.bank import Bank, BankSettings, open_bank
from faceinv.bank.frame import PORTRAIT, clean_part
from faceinv.contracts import Dataset, Framing
from faceinv.contracts.progress import Reporter
from faceinv.data.prefetch import Frames
from faceinv.errors import InputError, StorageError, UsageError
from faceinv.models import FramedEncoder, Loader
from faceinv.models.batching import batch_size_for
from faceinv.plugins import Host
from faceinv.testing import toy
from faceinv.weights import WeightStore

N = 21


class Killed(BaseException):
    """Stands for anything that ends a process."""


class Images(Dataset):
    """Random images, each depending on its number alone; counts what is loaded."""

    def __init__(self, n: int = N, framing: Framing | None = toy.FRAMING, broken: Sequence[int] = ()) -> None:
        self.ids = tuple(f"image-{k}" for k in range(n))
        self.framing = framing
        self.broken = frozenset(broken)
        self.loaded: list[int] = []
        self.stop_after: int | None = None

    def fingerprint(self) -> str:
        return "random"  # the default would load all images

    def load(self, index: int) -> Tensor:
        if self.stop_after is not None and len(self.loaded) >= self.stop_after:
            raise Killed
        self.loaded.append(index)
        if index in self.broken:
            raise InputError(f"{self.ids[index]} cannot be decoded.")
        size = (16, 16) if self.framing is None else self.framing.size
        return torch.rand(3, *size, generator=torch.Generator().manual_seed(index))


@pytest.fixture
def loader(host: Host) -> Loader:
    return Loader(host, WeightStore(host))


def opened(
    loader: Loader,
    dataset: Dataset,
    folder: Path,
    encoder: str = "toy",
    *,
    progress: Reporter | None = None,
    say: Callable[[str], None] = lambda text: None,
    **options: object,
) -> Bank:
    """Open a bank in chunks of 8 images and batches of 3."""
    settings = BankSettings(**({"batch_size": 3, "chunk": 8} | options))  # type: ignore[arg-type]
    return open_bank(loader, dataset, encoder, ["brightness"], settings, folder=folder, progress=progress, say=say)


def test_descriptors_and_attributes_are_those_of_the_images(loader: Loader, tmp_path: Path) -> None:
    dataset = Images()
    bank = opened(loader, dataset, tmp_path)
    images = torch.stack([Images().load(k) for k in range(N)])
    torch.testing.assert_close(bank.descriptors, loader.encoder("toy")(images))
    torch.testing.assert_close(bank.attributes["brightness"], images.mean((2, 3)))
    assert bank.ids == dataset.ids
    assert bank.usable.all()
    assert bank.skipped == ()
    assert bank.frame == dataset.framing
    assert sorted(dataset.loaded) == list(range(N))


def test_encoders_see_what_they_see_behind_the_frame(loader: Loader, tmp_path: Path) -> None:
    wide = Framing("wide", (30, 40), tuple((0.25 + x / 2, 0.1 + y / 2) for x, y in toy.FRAMING.points))  # type: ignore[arg-type]
    bank = opened(loader, Images(framing=wide), tmp_path)
    images = torch.stack([Images(framing=wide).load(k) for k in range(N)])
    behind = FramedEncoder(loader.encoder("toy"), wide)
    torch.testing.assert_close(bank.descriptors, behind(images), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(bank.attributes["brightness"], images.mean((2, 3)))


def test_what_is_there_is_never_computed_again(loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(loader, Images(), tmp_path)
    again = Images()
    bank = opened(loader, again, tmp_path)
    assert again.loaded == []
    assert bank.key == first.key
    torch.testing.assert_close(bank.descriptors, first.descriptors)
    # A second encoder loads the images again, but what was measured on them is there.
    probe = loader.probe("brightness", toy.FRAMING)
    monkeypatch.setattr(probe, "label", lambda images: pytest.fail("measured again"))
    other = Images()
    bank = opened(loader, other, tmp_path, "toy.critic")
    assert len(other.loaded) == N
    torch.testing.assert_close(bank.attributes["brightness"], first.attributes["brightness"])
    assert not torch.allclose(bank.descriptors, first.descriptors)


def test_a_bank_in_bf16_is_another_one(loader: Loader, tmp_path: Path) -> None:
    exact, lowered = opened(loader, Images(), tmp_path), opened(loader, Images(), tmp_path, precision="bf16")
    assert exact.key != lowered.key
    assert lowered.descriptors.dtype == torch.float32
    torch.testing.assert_close(lowered.descriptors, exact.descriptors, atol=0.02, rtol=0.02)
    assert not torch.equal(lowered.descriptors, exact.descriptors), "nothing was computed in bf16"


def test_a_compiled_encoder_takes_whole_batches_alone(
    loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the backend that traces alone: what a compiler makes of it is PyTorch's own business."""
    compiled, shapes = torch.compile, []

    def watched(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        made = compiled(function, backend="aot_eager")

        def call(crops: Tensor) -> Tensor:
            shapes.append(tuple(crops.shape))
            return made(crops)

        return call

    monkeypatch.setattr(torch, "compile", watched)
    said: list[str] = []
    bank = opened(loader, Images(), tmp_path / "compiled", compile=True, say=said.append)
    assert not said
    # Chunks of 8, 8 and 5 images in batches of 3: two whole ones, two, and one, after the one that it was tried on.
    assert shapes == [(3, 3, 16, 16)] * 6
    expected = opened(loader, Images(), tmp_path / "eager")
    assert bank.key == expected.key
    torch.testing.assert_close(bank.descriptors, expected.descriptors)


def test_as_many_images_at_a_time_as_the_cache_holds(loader: Loader, tmp_path: Path) -> None:
    encoder = loader.encoder("toy")
    crop = torch.zeros(1, 3, 16, 16)
    size = batch_size_for(lambda: encoder(crop), encoder, loader.device)
    shapes: list[int] = []
    handle = encoder.register_forward_pre_hook(lambda module, given: shapes.append(len(given[0])))
    bank = opened(loader, Images(2 * size + 1), tmp_path, batch_size=None, chunk=1000)
    handle.remove()
    # The first image measures the encoder's layers.
    assert shapes == [1, size, size, 1]
    torch.testing.assert_close(
        bank.descriptors, opened(loader, Images(2 * size + 1), tmp_path / "other", batch_size=7).descriptors
    )


def test_what_is_computed_depends_on_all_that_it_is_made_of(loader: Loader, tmp_path: Path) -> None:
    key = opened(loader, Images(), tmp_path).key
    shifted = Framing("shifted", (16, 16), tuple((x + 0.1, y) for x, y in toy.FRAMING.points))  # type: ignore[arg-type]
    for dataset, options in [
        (Images(N - 1), {}),
        (Images(framing=shifted), {}),
        (Images(), {"frame": shifted}),
        (Images(), {"encoder": "toy.critic"}),
    ]:
        assert opened(loader, dataset, tmp_path, **options).key != key


def test_what_cannot_be_used_is_said_counted_and_skipped(loader: Loader, tmp_path: Path) -> None:
    dataset = Images(broken=[0, 9, 10, 11, 20])
    dataset.skipped = (("gone", "There is no such image."),)
    for _ in range(2):
        bank = opened(loader, dataset, tmp_path)
        assert bank.usable.tolist() == [k not in dataset.broken for k in range(N)]
        assert bank.skipped == (
            ("gone", "There is no such image."),
            *((f"image-{k}", f"image-{k} cannot be decoded.") for k in sorted(dataset.broken)),
        )
        assert bank.descriptors[~bank.usable].isnan().all()
        assert bank.attributes["brightness"][~bank.usable].isnan().all()
        torch.testing.assert_close(
            bank.descriptors[bank.usable], opened(loader, Images(), tmp_path).descriptors[bank.usable]
        )
    with pytest.raises(InputError, match=r"None of the 3 images can be used; the first, 'image-0': image-0 cannot be"):
        opened(loader, Images(3, broken=[0, 1, 2]), tmp_path)


def test_what_one_encoder_fails_on_is_there_for_others(loader: Loader, tmp_path: Path) -> None:
    encoder = loader.encoder("toy")
    right = encoder.network.forward
    # Fails on image 1, whatever batch it comes in.
    broken = Images().load(1)

    def forward(images: Tensor) -> Tensor:
        is_broken = (images - broken).abs().amax((1, 2, 3)) < 1e-6
        return right(images).masked_fill(is_broken[:, None], float("nan"))

    encoder.network.forward = forward  # type: ignore[method-assign]
    bank = opened(loader, Images(), tmp_path)
    assert bank.skipped == (("image-1", "Its descriptor is not finite."),)
    assert bank.attributes["brightness"].isfinite().all()
    assert opened(loader, Images(), tmp_path, "toy.critic").usable.all()


def test_a_file_that_went_away_is_skipped(loader: Loader, tmp_path: Path) -> None:
    class Vanishing(Images):
        def load(self, index: int) -> Tensor:
            if index == 3:
                raise FileNotFoundError(2, "No such file or directory", "3.png")
            return super().load(index)

    bank = opened(loader, Vanishing(), tmp_path)
    assert [name for name, _ in bank.skipped] == ["image-3"]


def test_images_of_another_size_are_skipped(loader: Loader, tmp_path: Path) -> None:
    dataset = Images()
    dataset.load = lambda index: torch.zeros(3, 16, 17 if index == 4 else 16)  # type: ignore[method-assign]
    bank = opened(loader, dataset, tmp_path)
    assert [name for name, _ in bank.skipped] == ["image-4"]
    assert "16x16 pixels" in bank.skipped[0][1]


@pytest.mark.parametrize("after", [0, 1, 8, 9, 20])
def test_a_stopped_pass_goes_on_where_it_was(loader: Loader, tmp_path: Path, after: int) -> None:
    whole = opened(loader, Images(), tmp_path / "whole")
    stopped = Images()
    stopped.stop_after = after
    with pytest.raises(Killed):
        opened(loader, stopped, tmp_path / "stopped", workers=1)
    rest = Images()
    bank = opened(loader, rest, tmp_path / "stopped")
    # Whole chunks were kept; of three batches under way, nothing is known.
    assert len(rest.loaded) <= N - 8 * max(0, (after - 9) // 8)
    assert torch.equal(bank.descriptors, whole.descriptors)
    assert torch.equal(bank.attributes["brightness"], whole.attributes["brightness"])


def test_a_killed_process_leaves_a_bank_to_go_on_with(
    loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)  # both processes hash this module's code
    script = tmp_path / "fill.py"
    script.write_text(
        "import sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[2]); import test_bank as t\n"
        "class Slow(t.Images):\n"
        "    def load(self, index): time.sleep(0.02); return super().load(index)\n"
        "Slow.__module__, Slow.__qualname__ = 'test_bank', 'Images'\n"
        "host = t.Host(); host.register(t.toy, 'toy', 'toy 0')\n"
        "t.opened(t.Loader(host, t.WeightStore(host)), Slow(200), Path(sys.argv[1]), workers=2)\n"
    )
    command = [sys.executable, str(script), str(tmp_path / "bank"), str(Path(__file__).parent)]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    journal = "*/progress.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        lines = [len(path.read_text().splitlines()) for path in (tmp_path / "bank").glob(journal)]
        if lines and min(lines) >= 3:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    dataset = Images(200)
    key = "test_bank"
    dataset.__class__ = type("Images", (Images,), {"__module__": key, "__qualname__": "Images"})
    bank = opened(loader, dataset, tmp_path / "bank")
    assert len(dataset.loaded) <= 200 - 2 * 8
    assert torch.equal(bank.descriptors, opened(loader, Images(200), tmp_path / "whole").descriptors)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_found_and_computed_anew(
    loader: Loader, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("bank")
    whole = opened(loader, Images(), folder / "whole").descriptors.clone()
    stopped = Images()
    stopped.stop_after = data.draw(st.integers(12, N - 1))
    with pytest.raises(Killed):
        opened(loader, stopped, folder / "bank", workers=1)
    name = data.draw(st.sampled_from(["values.bin", "progress.jsonl"]))
    path = next((folder / "bank").glob(f"descriptors-*/{name}"))
    content = bytearray(path.read_bytes())
    if content and data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    elif content:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content))
    assert torch.equal(opened(loader, Images(), folder / "bank").descriptors, whole)


def truncated(folder: Path) -> None:
    os.truncate(folder / "values.bin", 100)


def flipped(folder: Path) -> None:
    with open(folder / "values.bin", "r+b") as file:
        file.seek(8 * 12 * 4 + 5)  # in the second chunk
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def manifest(change: Callable[[str], str]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / "manifest.json").write_text(change((folder / "manifest.json").read_text()))

    return damage


@pytest.mark.parametrize(
    ("damage", "loaded"),
    [
        (truncated, N),
        (flipped, 8),
        (manifest(lambda text: text[:40]), N),
        (manifest(lambda text: "{}"), N),
        (manifest(lambda text: "[1]"), N),
        (manifest(lambda text: text.replace('"skipped": {}', '"skipped": {"3": "no"}')), N),
    ],
)
def test_a_whole_column_that_was_damaged_is_made_anew(
    loader: Loader, tmp_path: Path, damage: Callable[[Path], None], loaded: int
) -> None:
    whole = opened(loader, Images(), tmp_path).descriptors.clone()
    damage(next(tmp_path.glob("descriptors-*[!k]")))
    dataset, heard = Images(), []
    bank = opened(loader, dataset, tmp_path, say=heard.append)
    assert torch.equal(bank.descriptors, whole)
    assert bank.usable.all()
    assert len(dataset.loaded) == loaded
    assert len(heard) == 1
    assert f"{math.ceil(loaded / 8)} of 3 chunks are not as they were written" in heard[0]
    opened(loader, dataset, tmp_path, say=heard.append)
    assert (len(dataset.loaded), len(heard)) == (loaded, 1)


def test_the_manifest_says_what_it_is_made_of(loader: Loader, tmp_path: Path) -> None:
    opened(loader, Images(), tmp_path)
    manifest = json.loads(next(tmp_path.glob("descriptors-*/manifest.json")).read_text())
    assert manifest["made_of"]["encoder"]["name"] == "toy.attacked"
    assert manifest["made_of"]["rows"] == N
    assert len(manifest["crc32"]) == 3
    assert {"torch", "python"} <= set(manifest["environment"])


def test_two_that_want_the_same_load_it_once(host: Host, tmp_path: Path) -> None:
    datasets = [Images(60), Images(60), Images(60)]
    results: list[Bank] = []

    def run(dataset: Images, encoder: str) -> None:
        results.append(opened(Loader(host, WeightStore(host)), dataset, tmp_path, encoder))

    threads = [
        threading.Thread(target=run, args=(dataset, encoder))
        for dataset, encoder in zip(datasets, ["toy", "toy", "toy.critic"], strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 3
    assert sorted(len(dataset.loaded) for dataset in datasets[:2]) == [0, 60]
    assert len(datasets[2].loaded) == 60


def test_who_waits_for_another_process_says_so(loader: Loader, tmp_path: Path) -> None:
    opened(loader, Images(), tmp_path)
    column = next(path for path in tmp_path.glob("descriptors-*") if path.is_dir())
    (column / "manifest.json").unlink()
    lock = filelock.FileLock(f"{column}.lock", thread_local=False)
    lock.acquire()
    said: list[str] = []

    def progress(what: str, done: int, of: int) -> None:
        if "waiting" in what:
            lock.release()
        said.append(what)

    opened(loader, Images(), tmp_path, progress=progress)
    assert said[0] == "waiting for another process that fills this bank"
    assert said[-1] == "embedding images"


def test_crops_are_kept_as_8_bit_pixels(loader: Loader, tmp_path: Path) -> None:
    bank = open_bank(loader, Images(broken=[2]), settings=BankSettings(crop=toy.FRAMING), folder=tmp_path)
    assert bank.crops is not None
    assert bank.crops.dtype == torch.uint8
    assert torch.equal(bank.crops[1], (Images().load(1) * 255).round().to(torch.uint8))
    assert not bank.crops[2].any()
    assert bank.descriptors.shape == (N, 0)


def test_attributes_of_all_pixels_are_measured_inside_the_clean_box(loader: Loader, tmp_path: Path) -> None:
    dataset = Images()
    dataset.clean_box = (0.25, 0.25, 0.75, 1.0)
    bank = open_bank(loader, dataset, "", ["histogram", "brightness"], folder=tmp_path)
    images = torch.stack([Images().load(k) for k in range(N)])
    part = clean_part(dataset, toy.FRAMING)
    assert (part.rows, part.columns) == (slice(4, 16), slice(4, 12))
    histogram = loader.probe("histogram", part.framing)
    assert torch.equal(bank.attributes["histogram"], histogram.label(images[:, :, 4:16, 4:12]))
    torch.testing.assert_close(bank.attributes["brightness"], images.mean((2, 3)))


boxes = st.tuples(*(st.floats(0, 1) for _ in range(4)))


@given(boxes, st.floats(0.5, 2), st.floats(-0.2, 0.2))
def test_the_clean_part_lies_inside_the_box_and_the_frame(box: tuple[float, ...], scale: float, shift: float) -> None:
    dataset = Images(framing=Framing("source", (100, 80), toy.FRAMING.points))
    left, right = sorted(box[:2])
    top, bottom = sorted(box[2:])
    dataset.clean_box = (left, top, right, bottom)
    points = tuple(((x - 0.5) * scale + 0.5 + shift, (y - 0.5) * scale + 0.5) for x, y in toy.FRAMING.points)
    frame = Framing("frame", (100, 80), points)  # type: ignore[arg-type]
    try:
        part = clean_part(dataset, frame)
    except InputError:
        return
    assert 0 <= part.rows.start < part.rows.stop <= 100
    assert 0 <= part.columns.start < part.columns.stop <= 80
    back = [(part.columns.start / 80 - 0.5 - shift) / scale + 0.5, (part.columns.stop / 80 - 0.5 - shift) / scale + 0.5]
    assert left - 1e-6 <= back[0] < back[1] <= right + 1e-6
    # A point keeps its place in the picture.
    height, width = part.framing.size
    x, y = part.framing.points[2]
    assert part.columns.start + x * width == pytest.approx(points[2][0] * 80)
    assert part.rows.start + y * height == pytest.approx(points[2][1] * 100)


def test_faces_are_found_where_no_framing_is_declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = tmp_path / "middle_detector.py"
    plugin.write_text(
        "import torch\nfrom faceinv import hookimpl\nfrom faceinv.contracts import Faces\n"
        "from faceinv.contracts.specs import DetectorSpec\n"
        "@hookimpl\ndef faceinv_detectors():\n"
        "    return [DetectorSpec(name='middle', summary='s', target='middle_detector:build', licence='MIT')]\n"
        "def build():\n"
        "    points = torch.tensor([[[6., 7.], [10., 7.], [8., 9.], [6.5, 11.], [9.5, 11.]]])\n"
        "    return lambda image: Faces(torch.tensor([[4., 4., 12., 13.]]), points, torch.ones(1))\n"
    )
    host = Host(paths=(str(plugin),))
    host.register(toy, "toy", "toy 0")
    loader = Loader(host, WeightStore(host))
    dataset = Images(framing=None)
    with pytest.raises(UsageError, match="no detector"):
        opened(loader, dataset, tmp_path / "bank")
    bank = opened(loader, dataset, tmp_path / "bank", detector="middle")
    assert bank.frame == PORTRAIT
    assert bank.usable.all()


def test_a_folder_that_cannot_be_written_is_one_line(loader: Loader, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot be written.*FACEINV_CACHE") as caught:
        opened(loader, Images(), tmp_path / "file" / "bank")
    assert "\n" not in str(caught.value)


# Frames


def frames(load: Callable[[int], Tensor], batch_size: int = 3) -> Frames:
    return Frames(lambda row: [load(row)], [(2, 2)], workers=3, batch_size=batch_size)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=5), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_spans_come_in_order_and_whole(spans: list[tuple[int, int]], batch_size: int) -> None:
    wanted = [range(first, first + length) for first, length in spans]
    with frames(lambda row: torch.full((3, 2, 2), float(row)), batch_size) as source:
        read = [[(b.rows, b.views[0][:, 0, 0, 0].tolist()) for b in batches] for batches in source.read(wanted)]
    assert [[row for rows, _ in batches for row in rows] for batches in read] == [list(span) for span in wanted]
    assert all(rows == values for batches in read for rows, values in batches)


def test_only_a_few_batches_are_loaded_ahead() -> None:
    loaded: list[int] = []

    def load(row: int) -> Tensor:
        loaded.append(row)
        return torch.zeros(3, 2, 2)

    with frames(load) as source:
        for batches in source.read([range(300)]):
            for number, _ in enumerate(batches, 1):
                assert len(loaded) <= 3 * (number + 2)
    assert sorted(loaded) == list(range(300))
