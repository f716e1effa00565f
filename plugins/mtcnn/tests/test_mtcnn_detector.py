"""MTCNN detects faces at the right place, none in images without a face, and refuses wrong weights files."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from faceinv_mtcnn.detector import LONGEST_SIDE, MTCNN, build
from faceinv_mtcnn.networks import ProposalNet, RefineNet
from torch import Tensor
from torch.nn import functional as F

from faceinv.contracts import Faces
from faceinv.data import read_image
from faceinv.errors import InputError, ShapeError, WeightsError
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.weights import WeightStore

PORTRAITS = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "portraits"

#: Detections of facenet-pytorch 2.6.0 (``MTCNN(keep_all=True).detect``): the box, then the five points.
REFERENCE = {
    "female-000.jpg": (
        (83.4, 56.6, 154.8, 152.9),
        ((102.5, 97.5), (136.7, 95.9), (120.1, 116.5), (104.1, 127.6), (138.6, 126.3)),
    ),
    "female-029.jpg": (
        (70.8, 42.1, 139.9, 137.8),
        ((97.5, 78.6), (128.4, 82.1), (114.4, 99.9), (92.5, 110.1), (124.9, 114.5)),
    ),
    "female-058.jpg": (
        (81.9, 48.9, 162.4, 161.0),
        ((94.7, 94.8), (129.4, 96.5), (104.2, 120.3), (96.6, 135.0), (128.4, 136.0)),
    ),
    "female-087.jpg": (
        (93.3, 37.0, 171.0, 155.4),
        ((123.8, 86.6), (157.9, 80.9), (152.9, 107.9), (133.4, 130.4), (157.8, 125.4)),
    ),
    "male-016.jpg": (
        (77.7, 48.3, 186.4, 189.5),
        ((109.1, 103.4), (157.9, 102.2), (134.7, 133.5), (114.0, 156.5), (155.6, 156.0)),
    ),
    "male-045.jpg": (
        (58.6, 58.6, 155.5, 180.6),
        ((81.9, 105.5), (125.9, 103.7), (102.1, 130.7), (88.3, 150.1), (126.3, 149.3)),
    ),
    "male-074.jpg": (
        (94.2, 44.1, 165.4, 135.2),
        ((109.4, 80.4), (143.1, 79.8), (125.7, 100.3), (113.1, 116.2), (141.0, 115.7)),
    ),
}


@pytest.fixture(scope="module")
def detect() -> MTCNN:
    host = Host()
    detector = Loader(host, WeightStore(host)).detector("mtcnn")
    assert isinstance(detector, MTCNN)
    return detector


@pytest.fixture(scope="module")
def portrait() -> Callable[[str], Tensor]:
    if not PORTRAITS.is_dir():
        pytest.skip("the portraits (../shared/data/portraits) are not on this machine")
    return lambda name: read_image(PORTRAITS / name)


def interocular(faces: Faces) -> float:
    return float((faces.points[0, 0] - faces.points[0, 1]).norm())


def distance(first: Tensor, second: Tensor, faces: Faces) -> float:
    """Mean distance of the five points, as a fraction of the distance between the eyes."""
    return float((first - second).norm(dim=1).mean()) / interocular(faces)


def plain(height: int, width: int) -> Tensor:
    """An image without a face: waves, stripes and noise."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    noise = torch.rand(height, width, generator=torch.Generator().manual_seed(2))
    return torch.stack([0.5 + 0.5 * torch.sin(x / 9) * torch.cos(y / 7), ((x // 6) % 2).float(), noise])


# With the published weights


@pytest.mark.parametrize("size", [(24, 2000), (2000, 24), (21, 60_000)])
def test_very_wide_images_have_no_faces(size: tuple[int, int]) -> None:
    assert len(MTCNN()(torch.zeros(3, *size))) == 0


@pytest.mark.weights
@pytest.mark.parametrize("name", REFERENCE)
def test_agrees_with_the_reference(detect: MTCNN, portrait: Callable[[str], Tensor], name: str) -> None:
    faces = detect(portrait(name))
    box, points = (torch.tensor(numbers) for numbers in REFERENCE[name])
    assert len(faces) == 1
    assert faces.scores[0] > 0.98
    # The reference crops at whole pixels without moving the points, an error of up to half a pixel.
    assert distance(faces.points[0], points, faces) < 0.08
    assert (faces.boxes[0] - box).abs().max() < 0.2 * interocular(faces)


@pytest.mark.weights
@pytest.mark.parametrize("size", [(20, 20), (64, 64), (97, 340), (300, 21)])
def test_finds_no_face_in_an_image_without_one(detect: MTCNN, size: tuple[int, int]) -> None:
    for image in (plain(*size), torch.zeros(3, *size), torch.ones(3, *size)):
        faces = detect(image)
        assert len(faces) == 0
        assert (faces.boxes.shape, faces.points.shape) == ((0, 4), (0, 5, 2))


@pytest.mark.weights
def test_a_mirrored_face_has_mirrored_points(detect: MTCNN, portrait: Callable[[str], Tensor]) -> None:
    shifts = []
    for name in REFERENCE:
        image = portrait(name)
        faces, mirrored = detect(image), detect(image.flip(2))
        back = mirrored.points[0][[1, 0, 2, 4, 3]] * torch.tensor([-1.0, 1]) + torch.tensor([image.shape[2], 0.0])
        assert distance(faces.points[0], back, faces) < 0.08
        shifts.append((faces.points[0] - back)[:, 0].mean())
    # Zero on average: coordinates start at the corner of the first pixel, and nothing is rounded.
    assert abs(float(torch.stack(shifts).mean())) < 0.5


@pytest.mark.weights
@pytest.mark.parametrize("factor", [0.5, 2, 8])
def test_a_larger_photograph_has_the_face_at_larger_coordinates(
    detect: MTCNN, portrait: Callable[[str], Tensor], factor: float
) -> None:
    image = portrait("male-045.jpg")
    faces = detect(image)
    size = round(256 * factor)
    resized = F.interpolate(image[None], (size, size), mode="bilinear", antialias=True)[0]
    assert factor < 8 or size > LONGEST_SIDE
    found = detect(resized)
    assert distance(found.points[0] / factor, faces.points[0], faces) < 0.06


@pytest.mark.weights
def test_a_face_at_the_edge_keeps_its_place(detect: MTCNN, portrait: Callable[[str], Tensor]) -> None:
    image = portrait("male-045.jpg")
    faces = detect(image)
    left, top = 52, 60
    found = detect(image[:, top:, left:])
    assert distance(found.points[0] + torch.tensor([left, top]), faces.points[0], faces) < 0.1


@pytest.mark.weights
def test_the_most_prominent_face_comes_first(detect: MTCNN, portrait: Callable[[str], Tensor]) -> None:
    large = portrait("male-016.jpg")
    small = F.interpolate(portrait("female-058.jpg")[None], (120, 120), mode="bilinear", antialias=True)[0]
    canvas = torch.full((3, 256, 500), 0.5)
    canvas[:, :, 122:378] = large
    canvas[:, 60:180, :120] = small
    faces = detect(canvas)
    assert len(faces) == 2
    assert 122 < faces.boxes[0, 0] < 378
    # Of two faces of the same size, the one in the middle.
    canvas = torch.full((3, 256, 640), 0.5)
    canvas[:, :, 20:276] = large
    canvas[:, :, 276:532] = large
    faces = detect(canvas)
    assert len(faces) == 2
    assert faces.boxes[0, 0] > 276


@pytest.mark.weights
def test_the_number_type_follows_the_module(portrait: Callable[[str], Tensor]) -> None:
    host = Host()
    image = portrait("female-000.jpg")
    detector = Loader(host, WeightStore(host), dtype=torch.float64).detector("mtcnn")
    faces, usual = detector(image), Loader(host, WeightStore(host)).detector("mtcnn")(image)
    assert faces.points.dtype == torch.float32
    torch.testing.assert_close(faces.points, usual.points, atol=1e-2, rtol=0)


@pytest.mark.weights
def test_leaves_the_image_and_the_random_state_alone(detect: MTCNN, portrait: Callable[[str], Tensor]) -> None:
    image = portrait("female-000.jpg").requires_grad_()
    before, state = image.detach().clone(), torch.random.get_rng_state()
    faces = detect(image)
    assert not faces.points.requires_grad
    assert torch.equal(image.detach(), before)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(detect(image).points, faces.points)


# Without the published weights


@pytest.mark.parametrize("size", [(19, 200), (200, 1), (1, 1)])
def test_an_image_smaller_than_a_face_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=rf"{size[1]}x{size[0]} pixels; .* 20x20"):
        MTCNN()(torch.zeros(3, *size))


@pytest.mark.parametrize("image", [torch.zeros(1, 40, 40), torch.zeros(40, 40), torch.zeros(3, 40, 40).byte()])
def test_not_an_image_is_refused(image: Tensor) -> None:
    with pytest.raises(ShapeError):
        MTCNN()(image)


def test_the_first_network_sees_a_window_every_two_pixels() -> None:
    network = ProposalNet().requires_grad_(False)
    pixels = torch.rand(1, 3, 40, 33, generator=torch.Generator().manual_seed(0))
    probability, offsets = network(pixels)
    assert probability.shape[1:] == offsets.shape[2:]
    for row, column in ((0, 0), (3, 5), (13, 9)):
        top, left = row * network.stride, column * network.stride
        alone, moved = network(pixels[..., top : top + network.window, left : left + network.window])
        assert alone.shape == (1, 1, 1)
        torch.testing.assert_close(alone[0, 0, 0], probability[0, row, column])
        torch.testing.assert_close(moved[0, :, 0, 0], offsets[0, :, row, column])


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (Path("touched"),))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04 and then nothing", "cannot be used: the file is damaged"),
        (Hostile(), "code named by a file is never run"),
        ([torch.zeros(1)], "contains no state dict"),
        ({"conv1.weight": 1}, "contains no state dict"),
        (RefineNet().state_dict(), "wrongly shaped"),
        ({k: v for k, v in ProposalNet().state_dict().items() if k != "conv4_2.bias"}, r"missing.*conv4_2\.bias"),
        (ProposalNet().state_dict() | {"extra": torch.zeros(1)}, "unexpected.*extra"),
    ],
)
def test_a_wrong_weights_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "pnet.pt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(WeightsError, match=reason) as caught:
        build(file, file, file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "touched").exists()


def test_every_level_of_the_pyramid_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window covers the smallest face in the first level, and the whole image in the last."""
    detector, sizes = MTCNN(thresholds=(1.1, 1.1, 1.1)), []
    forward = detector.proposal.forward

    def watched(pixels: Tensor) -> tuple[Tensor, Tensor]:
        sizes.append(tuple(pixels.shape[2:]))
        return forward(pixels)

    monkeypatch.setattr(detector.proposal, "forward", watched)
    assert len(detector(torch.zeros(3, 200, 260))) == 0
    assert sizes[0] == (120, 156)
    assert 12 <= min(sizes[-1]) < math.ceil(12 / 0.709)
