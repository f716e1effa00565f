"""CelebA's two layouts, zipped or not, on a small generated CelebA with all 40 columns."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from faceinv_celeba.dataset import CelebA, paper_split
from faceinv_celeba.files import FOLDERS, POINTS, read_attributes
from hypothesis import given, strategies as st

from faceinv.data import open_dataset, read_image, write_image
from faceinv.errors import InputError, UsageError
from faceinv.framing import align, pixel_points
from faceinv.plugins import Host

HEADER = (
    "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair "
    "Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male "
    "Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks "
    "Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace "
    "Wearing_Necktie Young"
)
ATTRIBUTES = HEADER.split()
IMAGES = 12


def smiles(k: int) -> bool:
    return k % 3 == 0


@pytest.fixture(params=["flat", "official"])
def celeba(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make(tmp_path / "celeba", official=request.param == "official")


def make(root: Path, official: bool = False, zipped: bool = False) -> Path:
    def place(name: str) -> Path:
        path = root / (FOLDERS[name] if official else "") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    names = [f"{k + 1:06d}.jpg" for k in range(IMAGES)]
    images = place("img_align_celeba")
    images.mkdir()
    for k, name in enumerate(names):
        write_image(torch.full((3, 218, 178), k / IMAGES), images / name)
    rows = []
    for k, name in enumerate(names):
        values = [smiles(k) if attribute == "Smiling" else attribute == "Young" for attribute in ATTRIBUTES]
        # As in the official file, positive numbers have a second blank before them.
        rows.append(f"{name} " + " ".join(" 1" if value else "-1" for value in values) + "\n")
    place("list_attr_celeba.txt").write_text(f"{IMAGES}\n{HEADER} \n{''.join(rows)}")
    place("identity_CelebA.txt").write_text("".join(f"{name} {100 + k // 2}\n" for k, name in enumerate(names)))
    parts = [0] * 6 + [1] * 2 + [2] * 4
    place("list_eval_partition.txt").write_text(
        "".join(f"{name} {part}\n" for name, part in zip(names, parts, strict=True))
    )
    if zipped:
        with zipfile.ZipFile(place("img_align_celeba.zip"), "w") as archive:
            for name in names:
                archive.write(images / name, f"img_align_celeba/{name}")
                (images / name).unlink()
        images.rmdir()
    return root


def test_all_forty_attributes_people_and_parts(celeba: Path) -> None:
    dataset = CelebA(celeba)
    assert dataset.ids == tuple(f"{k + 1:06d}.jpg" for k in range(IMAGES))
    assert list(dataset.annotations) == [name.lower() for name in ATTRIBUTES]
    assert len(ATTRIBUTES) == 40
    assert dataset.annotations["smiling"].tolist() == [float(smiles(k)) for k in range(IMAGES)]
    assert dataset.annotations["young"].tolist() == [1.0] * IMAGES
    assert dataset.annotations["wearing_hat"].dtype == torch.float32
    assert dataset.identities == tuple(str(100 + k // 2) for k in range(IMAGES))
    assert dataset.splits == ("train",) * 6 + ("val",) * 2 + ("test",) * 4
    assert dataset.framing is not None
    assert dataset.load(3).shape == (3, *dataset.framing.size)
    assert dataset.load(3).mean() == pytest.approx(3 / IMAGES, abs=0.01)
    assert dataset.skipped == ()


@pytest.mark.parametrize("zipped", [False, True])
def test_the_fingerprint_follows_the_images(tmp_path: Path, zipped: bool) -> None:
    dataset = CelebA(make(tmp_path / "one", zipped=zipped))
    other = make(tmp_path / "two", zipped=zipped)
    assert CelebA(other).fingerprint() == dataset.fingerprint()
    place = other / ("img_align_celeba.zip" if zipped else f"img_align_celeba/{dataset.ids[0]}")
    content = place.read_bytes()
    if zipped:
        with zipfile.ZipFile(place) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(place, "w") as archive:
            for name, image in members.items():
                archive.writestr(name, image[:-1] + b"\0")
    else:
        place.write_bytes(content[:-1] + b"\0")
    assert CelebA(other).fingerprint() != dataset.fingerprint()


def test_a_member_of_many_gigabytes_is_not_unpacked(tmp_path: Path) -> None:
    root = make(tmp_path, zipped=True)
    with (
        zipfile.ZipFile(root / "img_align_celeba.zip", "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("more/000001.jpg", "w") as member,
    ):
        for _ in range(66):
            member.write(bytes(1 << 20))
    dataset = CelebA(root)
    with pytest.raises(InputError, match=r"000001\.jpg: it has more than 64 MiB"):
        dataset.load(dataset.ids.index("000001.jpg"))


@pytest.mark.parametrize("official", [False, True])
def test_zipped_images_are_read_as_they_are(tmp_path: Path, official: bool) -> None:
    folder = CelebA(make(tmp_path / "folder", official))
    zipped = CelebA(make(tmp_path / "zipped", official, zipped=True))
    assert zipped.ids == folder.ids
    assert all(torch.equal(zipped.load(k), folder.load(k)) for k in range(IMAGES))
    assert zipped.fingerprint() == folder.fingerprint()


def test_the_two_splits_have_names(celeba: Path) -> None:
    host = Host()
    dataset, spec = open_dataset(host, f"celeba:{celeba}")
    assert spec.name == "celeba.official"
    paper, spec = open_dataset(host, f"celeba.paper:{celeba}")
    assert spec.name == "celeba.paper"
    # With fewer than 15,000 images, all of them are for the test.
    assert paper.splits == dataset.splits


def write_landmarks(path: Path, points: npt.NDArray[np.float64]) -> None:
    rows = [f"{k + 1:06d}.jpg {'  '.join(str(int(x)) for x in own.flat)}\n" for k, own in enumerate(points)]
    path.write_text(f"{len(points)}\n{' '.join(POINTS)}\n{''.join(rows)}")


def test_each_image_is_aligned_by_its_own_landmarks(celeba: Path) -> None:
    plain = CelebA(celeba)
    before, framing = plain.fingerprint(), plain.framing
    mean = np.round(pixel_points(framing))
    points = np.stack([mean + np.array([3, 5]) * (k == 2) for k in range(IMAGES)])
    write_landmarks(next(celeba.rglob("list_attr_celeba.txt")).with_name("list_landmarks_align_celeba.txt"), points)
    spot = torch.zeros(3, 218, 178)
    left, top = (int(x) for x in points[2, 2])
    spot[:, top - 2 : top + 2, left - 2 : left + 2] = 1
    write_image(spot, next(celeba.rglob("img_align_celeba")) / "000003.jpg")
    dataset = CelebA(celeba)
    assert dataset.framing == framing
    assert dataset.fingerprint() != before
    # The spot on the tip of the nose lies where the framing has it.
    rows, columns = np.nonzero(dataset.load(2).mean(0).numpy() > 0.5)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx(tuple(pixel_points(framing)[2]), abs=1)
    listed = next(celeba.rglob("list_landmarks_align_celeba.txt"))
    listed.write_text(listed.read_text().replace("000012.jpg", "000013.jpg"))
    with pytest.raises(InputError, match=r"list_landmarks_align_celeba\.txt has no line for '000012\.jpg'"):
        CelebA(celeba)
    listed.write_text(listed.read_text().replace("lefteye_x", "eye"))
    with pytest.raises(InputError, match=r"txt:2: expected the names of the coordinates, lefteye_x to rightmouth_y"):
        CelebA(celeba)


def make_uncropped(root: Path) -> npt.NDArray[np.float64]:
    """Turn a made CelebA into one of photographs of different sizes; return their landmarks ``(N, 5, 2)``."""
    images = next(root.rglob("img_align_celeba"))
    images = images.rename(images.with_name("img_celeba"))
    rng = np.random.default_rng(0)
    face = np.array([(120, 90), (200, 94), (160, 140), (130, 180), (190, 181)])
    points = (face + rng.integers(0, 30, (IMAGES, 1, 2))).astype(np.float64)
    for k in range(IMAGES):
        write_image(torch.from_numpy(rng.random((3, 300 + k, 400))).float(), images / f"{k + 1:06d}.jpg")
    write_landmarks(next(root.rglob("list_attr_celeba.txt")).with_name("list_landmarks_celeba.txt"), points)
    return points


def test_uncropped_photographs_are_brought_into_a_portrait(celeba: Path) -> None:
    points = make_uncropped(celeba)
    dataset, spec = open_dataset(Host(), f"celeba.uncropped:{celeba}")
    assert spec.name == "celeba.uncropped"
    assert dataset.framing is not None
    images = next(celeba.rglob("img_celeba"))
    for k in (0, IMAGES - 1):
        assert torch.equal(dataset.load(k), align(read_image(images / f"{k + 1:06d}.jpg"), points[k], dataset.framing))
    paper, _ = open_dataset(Host(), f"celeba.paper-uncropped:{celeba}")
    assert paper.fingerprint() == dataset.fingerprint()
    with pytest.raises(InputError, match=r"expected 'img_align_celeba\.zip'"):
        CelebA(celeba)
    next(celeba.rglob("list_landmarks_celeba.txt")).unlink()
    with pytest.raises(InputError, match=r"expected 'list_landmarks_celeba\.txt' or 'Anno/list_"):
        CelebA(celeba, images="uncropped")


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["train", "val", "test"])), max_size=60), st.data())
def test_the_papers_split_takes_whole_people_of_the_official_test(
    images: list[tuple[int, str]], data: st.DataObject
) -> None:
    people = [f"{part}-{person}" for person, part in images]
    official = [part for _, part in images]
    wanted = data.draw(st.integers(1, 30))
    parts = paper_split(official, people, wanted)
    tested = Counter(person for person, part in zip(people, parts, strict=True) if part == "test")
    assert all(part == was for part, was in zip(parts, official, strict=True) if was != "test")
    assert all(tested[person] in (0, count) for person, count in Counter(people).items())
    available = official.count("test")
    assert min(wanted, available) <= tested.total() <= available
    if tested and available > wanted:
        assert tested.total() - min(tested.values()) < wanted or tested.total() - max(tested.values()) < wanted


@pytest.mark.parametrize("name", [name for name in FOLDERS if not name.startswith(("img", "list_landmarks"))])
def test_a_missing_file_is_named_in_both_layouts(celeba: Path, name: str) -> None:
    for path in celeba.rglob(name):
        path.unlink()
    split = "paper" if name.startswith("identity") else "official"
    with pytest.raises(InputError, match=f"expected '{name}' or '{FOLDERS[name]}/{name}'"):
        CelebA(celeba, split=split)


def test_without_identities_people_are_not_known(celeba: Path) -> None:
    next(celeba.rglob("identity_CelebA.txt")).unlink()
    assert CelebA(celeba).identities is None


def test_missing_images_are_named(celeba: Path) -> None:
    images = next(celeba.rglob("img_align_celeba"))
    (images / "000003.jpg").unlink()
    write_image(torch.zeros(3, 218, 178), images / "999999.jpg")
    dataset = CelebA(celeba)
    assert len(dataset.ids) == IMAGES - 1
    assert dataset.annotations["smiling"].tolist() == [float(smiles(k)) for k in range(IMAGES) if k != 2]
    assert dataset.skipped == (
        ("000003.jpg", "list_attr_celeba.txt lists it, but there is no such image."),
        ("999999.jpg", "list_attr_celeba.txt has no row for it."),
    )
    for path in images.iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"holds none of the images that list_attr_celeba\.txt lists"):
        CelebA(celeba)
    images.rmdir()
    with pytest.raises(InputError, match=r"expected 'img_align_celeba\.zip' or 'Img/img_align_celeba\.zip'"):
        CelebA(celeba)


def test_images_in_a_folder_in_a_folder(celeba: Path) -> None:
    images = next(celeba.rglob("img_align_celeba"))
    images.rename(images.with_name("x"))
    images.mkdir()
    images.with_name("x").rename(images / "img_align_celeba")
    assert CelebA(celeba).load(0).shape == (3, 218, 178)


def test_an_image_that_cannot_be_decoded_is_an_input_error(tmp_path: Path) -> None:
    root = make(tmp_path / "a")
    (root / "img_align_celeba" / "000002.jpg").write_bytes(b"\xff\xd8\xff and no more")
    with pytest.raises(InputError, match=r"000002\.jpg"):
        CelebA(root).load(1)
    root = make(tmp_path / "b", zipped=True)
    path = root / "img_align_celeba.zip"
    content = bytearray(path.read_bytes())
    start = content.index(b"000002.jpg") + 10
    content[start + 20 : start + 80] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"000002\.jpg"):
        CelebA(root).load(1)
    path.write_bytes(b"no archive")
    with pytest.raises(InputError, match="the images cannot be read"):
        CelebA(root)


def edit(name: str, change: Callable[[list[str]], object]) -> Callable[[Path], None]:
    def apply(root: Path) -> None:
        path = root / name
        lines = path.read_text().splitlines(keepends=True)
        change(lines)
        path.write_text("".join(lines))

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (edit("list_attr_celeba.txt", lambda t: t.__setitem__(0, "many\n")), r"txt:1: expected the number of images"),
        (edit("list_attr_celeba.txt", lambda t: t.__setitem__(0, "13\n")), "announces 13 images but has 12"),
        (
            edit("list_attr_celeba.txt", lambda t: t.__setitem__(1, "Bald Bald\n")),
            r"txt:2: expected the names of the attrib",
        ),
        (
            edit("list_attr_celeba.txt", lambda t: t.__setitem__(4, "000003.jpg 1\n")),
            r"txt:5: expected 41 cells, got 2",
        ),
        (edit("list_attr_celeba.txt", lambda t: t.__setitem__(4, t[4].replace("-1", "0", 1))), r"txt:5: .* got '0'"),
        (edit("list_attr_celeba.txt", lambda t: t.__setitem__(4, t[3])), "an image appears twice"),
        (edit("list_eval_partition.txt", lambda t: t.pop(4)), r"no line for '000005\.jpg'"),
        (edit("list_eval_partition.txt", lambda t: t.__setitem__(4, "000005.jpg 3\n")), "the part '3'"),
        (edit("list_eval_partition.txt", lambda t: t.__setitem__(4, "000005.jpg 1\n")), "'102' is in 'val' and in"),
        (edit("identity_CelebA.txt", lambda t: t.pop(4)), r"no line for '000005\.jpg'"),
        (
            edit("identity_CelebA.txt", lambda t: t.__setitem__(4, "000005.jpg\n")),
            r"txt:5: expected an image and its identity",
        ),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    root = make(tmp_path / "celeba")
    damage(root)
    with pytest.raises(InputError, match=message) as caught:
        CelebA(root)
    assert "\n" not in str(caught.value)


@given(st.text(st.sampled_from("1- 0a\n\t"), max_size=40))
def test_any_attribute_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("celeba") / "list_attr_celeba.txt"
    path.write_text(text)
    try:
        images, columns = read_attributes(path)
    except InputError as error:
        refusal = str(error)
        assert "\n" not in refusal
        return
    assert all(len(column) == len(images) for column in columns.values())
    assert all(set(column.tolist()) <= {0.0, 1.0} for column in columns.values())


def test_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="celeba:PATH"):
        CelebA(None)
    with pytest.raises(UsageError, match="Allowed: official, paper"):
        CelebA(tmp_path, split="mine")
    with pytest.raises(InputError, match="does not exist"):
        CelebA(tmp_path / "none")
    with pytest.raises(UsageError, match=r"has no option 'spilt'\. Did you mean 'split'\?"):
        open_dataset(Host(), f"celeba:{tmp_path}", options={"spilt": "paper"})
