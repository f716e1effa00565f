"""Held-out samples of the generator that nothing else can draw, and folders of photographs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from faceinv_photographs.folder import Folder
from faceinv_photographs.synthetic import Synthetic, stream_seed
from hypothesis import given, strategies as st
from torch import Tensor, nn

from faceinv.contracts import DatasetContext, Framing, Generator
from faceinv.data import write_image
from faceinv.data.targets import Selection, choose_targets
from faceinv.errors import InputError, UsageError
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.plugins.registry import load_target
from faceinv.weights import WeightStore

FRAMING = Framing("frame", (4, 5), ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)))


class Linear(Generator):
    """A linear map from latents of four numbers to an image."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        weight = torch.rand(4, 60, generator=torch.Generator().manual_seed(0)) / 8
        self.weight = nn.Parameter(weight.to(dtype), requires_grad=False)

    def latent_shape(self, space: str) -> tuple[int, ...]:
        return (4,)

    def sample(self, n: int, space: str, rng: torch.Generator) -> Tensor:
        scale = 2 if space == "w" else 1
        return scale * torch.randn(n, 4, generator=rng, device=rng.device)

    def forward(self, latents: Tensor, space: str) -> Tensor:
        return (latents @ self.weight + 0.5).clamp(0, 1).view(-1, 3, 4, 5)


def context(
    seed: int = 0, limit: int | None = 6, space: str = "z", generator: Generator | None = None
) -> DatasetContext:
    return DatasetContext(generator or Linear(), FRAMING, space, seed, limit)


# Samples of the generator


def test_a_sample_depends_on_the_seed_and_its_number_alone() -> None:
    few, many = Synthetic(context=context(limit=3)), Synthetic(context=context(limit=9))
    assert few.ids == many.ids[:3] == ("sample-0000", "sample-0001", "sample-0002")
    state = torch.random.get_rng_state()
    backwards = [many.load(k) for k in reversed(range(9))][::-1]
    assert torch.equal(torch.random.get_rng_state(), state)
    for k in range(3):
        assert torch.equal(few.load(k), backwards[k])
    assert len({tuple(image.flatten().tolist()) for image in backwards}) == 9
    assert not torch.equal(Synthetic(context=context(seed=1)).load(0), backwards[0])
    assert not torch.equal(Synthetic(context=context(space="w")).load(0), backwards[0])


@given(st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 10**6)), min_size=2, max_size=2, unique=True))
def test_no_two_samples_share_a_stream(pairs: list[tuple[int, int]]) -> None:
    first, second = (stream_seed(*pair) for pair in pairs)
    assert first != second
    assert 0 <= first < 2**63


def test_streams_are_not_those_of_plain_seeds() -> None:
    """Training pairs drawn from a generator with a small seed contain no held-out sample."""
    generator = Linear()
    drawn = torch.cat([generator.sample(64, "z", torch.Generator().manual_seed(seed)) for seed in range(64)])
    held_out = [generator.sample(1, "z", torch.Generator().manual_seed(stream_seed(0, k))) for k in range(64)]
    assert torch.cdist(torch.cat(held_out), drawn).min() > 0


def test_samples_are_in_the_generators_framing_and_not_real() -> None:
    spec = Host().spec("dataset", "synthetic")
    dataset = load_target(spec)(None, context=context(), **spec.options)
    images: list[Tensor] = []
    targets = choose_targets(dataset, FRAMING, Selection(limit=6), images.append, real=spec.real)
    assert torch.stack(images).shape == (6, 3, 4, 5)
    assert targets.identities is None
    assert not targets.real


def test_latents_follow_the_generators_number_type() -> None:
    single, double = (
        Synthetic(context=context(generator=Linear(dtype))).load(0) for dtype in (torch.float32, torch.float64)
    )
    assert double.dtype == torch.float32
    torch.testing.assert_close(single, double)


def test_the_data_set_keeps_no_latent() -> None:
    dataset = Synthetic(context=context())
    dataset.load(0)
    assert not any(isinstance(value, Tensor) for value in vars(dataset).values())


def test_without_a_limit_there_are_sixty_four() -> None:
    assert len(Synthetic(context=context(limit=None)).ids) == 64


def test_samples_need_a_generator_and_no_path() -> None:
    with pytest.raises(UsageError, match="--generator"):
        Synthetic(context=DatasetContext(None, FRAMING, "z", 0, 4))
    with pytest.raises(UsageError, match="no path"):
        Synthetic(Path("somewhere"), context=context())


# Folders


def picture(path: Path, value: float = 0.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(torch.full((3, 6, 7), value), path)


def test_all_images_below_a_folder_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a/z.jpg", "a/b/c.bmp", "A.PNG", ".hidden.png", ".thumbnails/x.png"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    dataset = Folder(tmp_path)
    assert dataset.ids == ("A.PNG", "a/b/c.bmp", "a/z.jpg", "b.png")
    assert dataset.identities is None
    assert dataset.framing is None
    assert dataset.load(3).shape == (3, 6, 7)


def test_sub_folders_are_people_as_in_lfw(tmp_path: Path) -> None:
    for name in ("Ada/Ada_0001.png", "Ada/Ada_0002.png", "Bo/Bo_0001.png"):
        picture(tmp_path / "lfw-deepfunneled" / name)
    assert Folder(tmp_path / "lfw-deepfunneled").identities == ("Ada", "Ada", "Bo")
    nested = Folder(tmp_path).identities
    assert nested is not None
    assert [nested[0] == nested[1], nested[1] == nested[2]] == [True, False]


@pytest.mark.parametrize("names", [("Ada/1.png", "Bo/1.png", "loose.png"), ("images/1.png", "images/2.png")])
def test_other_folders_say_nothing_about_people(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        picture(tmp_path / name)
    assert Folder(tmp_path).identities is None


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_is_no_text_can_still_be_written_down(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        picture(tmp_path / name, 0.2)
    except OSError:
        pytest.skip("this file system takes no such names")
    dataset = Folder(tmp_path)
    assert dataset.ids[0].encode("utf-8") == b"caf\\xe9.png"
    assert dataset.load(0).mean() == pytest.approx(0.2, abs=0.01)


def test_says_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.png").write_bytes(b"")
    for path, reason in [
        (tmp_path / "missing", "does not exist"),
        (tmp_path / "file.png", "is a file; name the folder"),
        (tmp_path / "empty", "holds no images"),
    ]:
        with pytest.raises(InputError, match=reason) as caught:
            Folder(path)
        assert str(path) in str(caught.value)
    with pytest.raises(UsageError, match="folder:PATH"):
        Folder(None)


def test_an_image_that_cannot_be_decoded_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        Folder(tmp_path).load(0)


def test_a_set_of_links_is_used_and_a_dead_link_is_one_skipped_image(tmp_path: Path) -> None:
    picture(tmp_path / "real" / "bo" / "1.png")
    picture(tmp_path / "set" / "ada" / "1.png")
    (tmp_path / "set" / "bo").symlink_to(tmp_path / "real" / "bo")
    (tmp_path / "set" / "ada" / "dead.jpg").symlink_to("/nowhere.jpg")
    dataset = Folder(tmp_path / "set")
    assert dataset.ids == ("ada/1.png", "bo/1.png")
    assert dataset.identities == ("ada", "bo")
    assert [name for name, _ in dataset.skipped] == ["ada/dead.jpg"]
    assert len(dataset.fingerprint()) == 16


def test_pictures_of_a_run_do_not_become_photographs(tmp_path: Path) -> None:
    picture(tmp_path / "me.png")
    before = Folder(tmp_path)
    picture(tmp_path / "runs" / "bench" / "targets" / ("0" * 16) / "00000.png")
    after = Folder(tmp_path)
    assert (after.ids, after.fingerprint()) == (before.ids, before.fingerprint())
    assert after.skipped == (("runs/bench", "Pictures that faceinv made, not photographs."),)


def test_other_pictures_of_the_same_names_and_sizes_are_another_data_set(tmp_path: Path) -> None:
    picture(tmp_path / "0.bmp", 0.2)
    before = Folder(tmp_path).fingerprint()
    picture(tmp_path / "0.bmp", 0.7)
    assert Folder(tmp_path).fingerprint() != before


# Labels


def labelled(folder: Path, table: str) -> Folder:
    (folder.parent / "labels.csv").write_text(table)
    return Folder(folder, context=DatasetContext(None, None, "", 0, None, folder.parent / "labels.csv"))


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for name in ("Ada/1.png", "Ada/2.png", "Bo/1.png", "Cy/1.png"):
        picture(tmp_path / "people" / name)
    return tmp_path / "people"


def test_the_table_says_what_the_data_set_is(people: Path) -> None:
    dataset = labelled(people, "image,hat\nBo/1.png,1\nAda/2.png,\ngone.png,0\nAda/1.png,0\n")
    assert dataset.ids == ("Ada/1.png", "Ada/2.png", "Bo/1.png")
    assert dataset.annotations["hat"].tolist()[::2] == [0, 1]
    assert dataset.annotations["hat"].isnan().tolist() == [False, True, False]
    assert dataset.identities == ("Ada", "Ada", "Bo")
    assert [name for name, _ in dataset.skipped] == ["gone.png", "Cy/1.png"]
    assert dataset.load(2).shape == (3, 6, 7)
    assert dataset.splits is not None
    assert dataset.splits[0] == dataset.splits[1]


def test_people_and_parts_of_the_table_count(people: Path) -> None:
    table = "image,identity,split\nAda/1.png,Eve,test\nAda/2.png,,train\nBo/1.png,Eve,test\nCy/1.png,,val\n"
    dataset = labelled(people, table)
    assert dataset.identities == ("Eve", "Ada/2.png", "Eve", "Cy/1.png")
    assert dataset.splits == ("test", "train", "test", "val")
    with pytest.raises(InputError, match=r"labels\.csv: 'Ada' is in 'train' and in 'test'"):
        labelled(people, "image,split\nAda/1.png,train\nAda/2.png,test\n")


def test_a_file_that_the_table_names_is_never_missing(tmp_path: Path) -> None:
    for name in ("a.JPG", "b.jfif", "c.gif"):
        picture(tmp_path / "mix" / name)
    for name in ("d.heic", "loose.txt"):
        (tmp_path / "mix" / name).write_text("no picture")
    dataset = labelled(tmp_path / "mix", "image,smiling\na.JPG,1\nb.jfif,0\nc.gif,1\nd.heic,0\n")
    assert dataset.ids == ("a.JPG", "b.jfif", "c.gif", "d.heic")
    assert dataset.skipped == ()
    with pytest.raises(InputError, match=r"d\.heic"):
        dataset.load(3)


def test_a_table_of_other_images_is_refused(people: Path) -> None:
    with pytest.raises(InputError, match=r"none of its images is in .*names 'x\.png', but the folder has 'Ada/1\.png'"):
        labelled(people, "image,hat\nx.png,1\n")


def test_parts_do_not_depend_on_who_else_is_there(people: Path) -> None:
    before = dict(zip(Folder(people).ids, Folder(people).splits or (), strict=True))
    picture(people / "Abe" / "1.png")
    after = dict(zip(Folder(people).ids, Folder(people).splits or (), strict=True))
    assert before.items() <= after.items()


def test_samples_are_known_by_their_generator() -> None:
    same, other = Linear(), Linear()
    other.weight.data += 0.01
    fingerprints = {Synthetic(context=context(generator=generator)).fingerprint() for generator in (same, Linear())}
    assert len(fingerprints) == 1
    assert Synthetic(context=context(generator=other)).fingerprint() not in fingerprints
    assert Synthetic(context=context(seed=1)).fingerprint() not in fingerprints


# Together


@pytest.mark.weights
def test_a_folder_of_anything_gives_the_faces_in_it(tmp_path: Path) -> None:
    """Samples of the generator pasted into larger photographs are detected and aligned."""
    host = Host()
    loader = Loader(host, WeightStore(host))
    generator = loader.generator("dcgan")
    samples = Synthetic(context=DatasetContext(generator.network, generator.framing, "z", 0, 6))
    wanted = {}
    for k in range(6):
        large = nn.functional.interpolate(samples.load(k)[None], (128, 128), mode="bilinear")[0]
        canvas = torch.full((3, 200, 260), 0.4)
        canvas[:, 30:158, 50:178] = large
        write_image(canvas, tmp_path / f"{k}.png")
        wanted[f"{k}.png"] = samples.load(k)
    picture(tmp_path / "no-face.png")
    (tmp_path / "text.png").write_text("no picture")
    spec = host.spec("dataset", "folder")
    dataset = load_target(spec)(tmp_path, context=context(), **spec.options)
    images: list[Tensor] = []
    detector = loader.detector("mtcnn")
    targets = choose_targets(
        dataset, generator.framing, Selection(limit=None), images.append, real=spec.real, detector=detector
    )
    assert targets.real
    assert {name for name, _ in targets.skipped} >= {"no-face.png", "text.png"}
    assert len(targets.ids) >= 4
    for name, image in zip(targets.ids, images, strict=True):
        others = torch.stack([(image - other).square().mean() for other in wanted.values()])
        assert list(wanted)[int(others.argmin())] == name
