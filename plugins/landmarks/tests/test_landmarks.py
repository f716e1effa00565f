"""Landmark networks: geometry, folding, training and files; the shipped ones compared with dlib."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from faceinv_landmarks.dlib_labels import DlibLandmarks
from faceinv_landmarks.networks import FRAME, MIRROR, NETWORKS, fold, load_network, network_frame, save_network
from faceinv_landmarks.probe import FramedLandmarks, LandmarksProbe, interocular_error
from faceinv_landmarks.training import RECIPES, Schedule, augment, train_network
from safetensors.torch import save_file
from torch import Tensor, nn

from faceinv.contracts import Framing
from faceinv.errors import WeightsError
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.weights import WeightStore

DATA = Path(__file__).parents[1] / "src" / "faceinv_landmarks" / "data"


def test_the_mirror_is_its_own_inverse() -> None:
    assert [MIRROR[index] for index in MIRROR] == list(range(68))
    assert MIRROR[36] == 45  # the outer eye corners swap


def test_augmentation_moves_points_with_the_picture() -> None:
    """A bright dot painted at each landmark must still be under it after augmentation."""
    rng = torch.Generator().manual_seed(0)
    points = 0.3 + 0.4 * torch.rand(32, 68, 2, generator=rng)
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    spot = points[:, 30] * 64
    dot = torch.exp(-((x - spot[:, 0, None, None]) ** 2 + (y - spot[:, 1, None, None]) ** 2) / 8)
    images, moved = augment(dot[:, None].expand(-1, 3, -1, -1), points, rng)
    brightest = images.mean(1).flatten(1).argmax(1)
    found = torch.stack([brightest % 64, brightest // 64], 1) + 0.5
    assert (found - moved[:, 30] * 64).norm(dim=1).median() < 1.5
    assert not torch.allclose(moved, points, atol=0.01)


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_folding_changes_nothing(kind: str) -> None:
    torch_state = torch.random.get_rng_state()
    network = NETWORKS[kind](normalise=True)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    network.eval()
    images = torch.rand(3, 3, 64, 64)
    before = network(images)
    fold(network)
    torch.testing.assert_close(network(images), before, atol=1e-5, rtol=1e-5)
    torch.random.set_rng_state(torch_state)


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_training_learns_where_a_square_is(kind: str, tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    centres = 0.35 + 0.3 * torch.rand(320, 2, generator=rng)
    # Landmarks close together, so that a mirrored copy does not contradict the original.
    points = centres[:, None].expand(-1, 68, -1) + 0.0 * torch.rand(320, 68, 2, generator=rng)
    y, x = torch.meshgrid((torch.arange(64) + 0.5) / 64, (torch.arange(64) + 0.5) / 64, indexing="ij")
    inside = ((x - centres[:, 0, None, None]).abs() < 0.1) & ((y - centres[:, 1, None, None]).abs() < 0.1)
    images = inside[:, None].float().expand(-1, 3, -1, -1)
    state = torch.random.get_rng_state()
    network = train_network(kind, images[64:], points[64:], seed=0, schedule=Schedule(epochs=12, batch_size=32))
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.no_grad():
        error = (network(images[:64]) - points[:64]).norm(dim=2).mean()
        guess = (points[64:].mean(0) - points[:64]).norm(dim=2).mean()
    assert error < 0.5 * guess
    path = tmp_path / "network.safetensors"
    save_file({name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}, path)
    with torch.no_grad():
        torch.testing.assert_close(load_network(kind, path)(images[:4]), network(images[:4]), atol=2e-3, rtol=0)


@pytest.mark.parametrize("kind", sorted(NETWORKS))
@pytest.mark.parametrize("size", [(16, 16), (224, 224), (256, 192)])
def test_a_network_has_the_frame_it_is_made_for(kind: str, size: tuple[int, int], tmp_path: Path) -> None:
    """Also a large one: the view is the same, with fewer pixels. The file says which it is."""
    framing = Framing("other", size, FRAME.points)
    frame = network_frame(framing)
    assert max(frame.size) <= 224
    state = torch.random.get_rng_state()
    network = NETWORKS[kind](frame, "drawn faces").eval()
    torch.random.set_rng_state(state)
    save_network(network, tmp_path / "network.safetensors")
    read = load_network(kind, tmp_path / "network.safetensors")
    assert (read.frame, read.trained_on) == (frame, "drawn faces")
    images = torch.rand(2, 3, *frame.size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(read(images), network(images), atol=2e-3, rtol=0)
        assert FramedLandmarks(read, framing)(torch.rand(2, 3, *size)).shape == (2, 68, 2)


def test_the_papers_recipe_is_plain() -> None:
    recipe = RECIPES["paper"]
    assert (recipe.learning_rate, recipe.batch_size, recipe.epochs) == (1e-3, 16, 150)
    images, points = torch.rand(40, 3, 64, 64), 0.5 + 0.01 * torch.randn(40, 68, 2)
    eight_bits = images.mul(255).round().to(torch.uint8)
    plain = Schedule(epochs=1, batch_size=16, learning_rate=1e-3, plain=True)
    made = [train_network("measure", given, points, seed=0, schedule=plain) for given in (eight_bits, eight_bits / 255)]
    assert torch.equal(made[0].output.weight, made[1].output.weight)


def test_a_network_for_other_images_says_so() -> None:
    fits = LandmarksProbe(DATA / "measure.safetensors", framing=Framing("other name", FRAME.size, FRAME.points))
    assert fits.remarks == ()
    other = Framing("ffhq-256", (256, 256), tuple((x, y + 0.05) for x, y in FRAME.points))  # type: ignore[arg-type]
    (remark,) = LandmarksProbe(DATA / "measure.safetensors", framing=other).remarks
    assert "trained on samples of dcgan.digiface" in remark
    assert "faceinv train-landmarks measure --generator NAME" in remark
    assert "--weights landmarks=FILE" in remark


def test_points_come_back_in_the_frame_they_were_asked_for() -> None:
    network = load_network("measure", DATA / "measure.safetensors")
    # The same face, half as large and farther right, in a frame twice as wide.
    wide = Framing("wide", (128, 256), tuple((0.3 + x / 4, 0.2 + y / 2) for x, y in FRAME.points))  # type: ignore[arg-type]
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    canvas = torch.full((2, 3, 128, 256), 0.5)
    left, top = round(0.3 * 256), round(0.2 * 128)
    canvas[:, :, top : top + 64, left : left + 64] = images
    own = FramedLandmarks(network, FRAME)(images)
    seen = FramedLandmarks(network, wide)(canvas)
    expected = (own * 64 + torch.tensor([0.3 * 256, 0.2 * 128])) / torch.tensor([256.0, 128.0])
    torch.testing.assert_close(seen, expected, atol=0.02, rtol=0)


def test_the_error_is_in_percent_of_the_outer_eye_corner_distance() -> None:
    truth = torch.rand(1, 68, 2)
    truth[0, 36], truth[0, 45] = torch.tensor([0.2, 0.5]), torch.tensor([0.7, 0.5])
    moved = truth + torch.tensor([0.03, 0.04])
    assert float(interocular_error(moved, truth)) == pytest.approx(100 * 0.05 / 0.5, rel=1e-5)


def test_a_wrong_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(
        WeightsError, match=r"does not hold the landmark network 'judge'.*faceinv train-landmarks judge"
    ):
        load_network("judge", path)
    with pytest.raises(WeightsError, match="does not hold the landmark network 'judge'"):
        load_network("judge", DATA / "measure.safetensors")


def test_the_measure_is_differentiable() -> None:
    probe = LandmarksProbe(DATA / "measure.safetensors", framing=FRAME)
    images = torch.rand(2, 3, 64, 64).requires_grad_()
    (gradient,) = torch.autograd.grad(probe.measure(images).square().sum(), images)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0


def test_the_paper_head_is_the_papers() -> None:
    probe = LandmarksProbe(DATA / "measure.safetensors", framing=FRAME)
    sizes = [(m.in_features, m.out_features) for m in probe.paper_head(192).modules() if isinstance(m, nn.Linear)]
    assert sizes == [(192, 256), (256, 256), (256, 136)]
    recipe = probe.paper_recipe()
    assert (recipe.optimizer, recipe.learning_rate, recipe.batch_size, recipe.epochs) == ("sgd", 1e-3, 16, 150)


@pytest.fixture(scope="module")
def labelled() -> tuple[Tensor, Tensor]:
    """Samples that no network was trained on, with landmarks by dlib."""
    pytest.importorskip("dlib")
    host = Host()
    store = WeightStore(host)
    generator = Loader(host, store).generator("dcgan")
    landmarks = DlibLandmarks(store.path("landmarks/dlib68"))
    with torch.no_grad():
        images = generator.network(generator.network.sample(60, "z", torch.Generator().manual_seed(99)), "z")
    found = [(image, points) for image in images if (points := landmarks(image)) is not None]
    return torch.stack([image for image, _ in found]), torch.stack([points for _, points in found])


@pytest.mark.weights
@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_what_ships_agrees_with_dlib(kind: str, labelled: tuple[Tensor, Tensor]) -> None:
    images, truth = labelled
    assert len(images) > 30
    network = load_network(kind, DATA / f"{kind}.safetensors")
    with torch.no_grad():
        error = interocular_error(network(images), truth).median()
        guess = interocular_error(network.mean_shape.expand_as(truth), truth).median()
    assert error < 5
    assert error < 0.6 * guess
