"""Pose, colours and light: correct on faces with known values, differentiable, and usable as losses."""

from __future__ import annotations

from pathlib import Path

import faceinv_attributes
import pytest
import torch
from faceinv_attributes.appearance import IlluminationProbe, MeanColour
from faceinv_attributes.pose import PoseProbe, fit_face, head_pose, load_shape
from faceinv_attributes.regions import background_mask, face_coordinates, skin_mask
from faceinv_attributes.rigid_shape import RIGID
from faceinv_landmarks.networks import MIRROR
from hypothesis import given, settings, strategies as st
from torch import Tensor

from faceinv.contracts import Framing, Probe
from faceinv.errors import PluginError, UsageError, WeightsError
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.weights import WeightStore

FACE = Path(faceinv_attributes.__file__).parent / "data" / "face.safetensors"
FRAMING = Framing(
    "test", (96, 120), ((0.37, 0.42), (0.63, 0.42), (0.5, 0.543), (0.385, 0.653), (0.615, 0.653))
)  # fmt: skip
NAMES = ("pose", "skin-colour", "background-colour", "illumination")


def rotation(yaw: float, pitch: float, roll: float) -> Tensor:
    """R_y R_x R_z of angles in degrees in x right, y down, z away; signs as PoseProbe's."""
    y, p, r = torch.deg2rad(torch.tensor([-yaw, -pitch, roll], dtype=torch.float64))
    one, zero = torch.ones_like(y), torch.zeros_like(y)
    about_y = torch.stack([y.cos(), zero, y.sin(), zero, one, zero, -y.sin(), zero, y.cos()]).view(3, 3)
    about_x = torch.stack([one, zero, zero, zero, p.cos(), -p.sin(), zero, p.sin(), p.cos()]).view(3, 3)
    about_z = torch.stack([r.cos(), -r.sin(), zero, r.sin(), r.cos(), zero, zero, zero, one]).view(3, 3)
    return about_y @ about_x @ about_z


def views(shape: Tensor, angles: Tensor) -> Tensor:
    """Return the scaled orthographic views ``(F, P, 2)`` of a shape under (yaw, pitch, roll)."""
    return torch.stack([(shape @ rotation(*row).T)[:, :2] * 40 + 50 for row in angles.tolist()])


@settings(max_examples=60, deadline=None)
@given(st.floats(-80, 80), st.floats(-70, 70), st.floats(-80, 80), st.floats(0.1, 1000))
def test_the_pose_of_a_rotated_face_is_its_rotation(yaw: float, pitch: float, roll: float, scale: float) -> None:
    face = load_shape(FACE).double()
    points = scale * (face @ rotation(yaw, pitch, roll).T)[None, :, :2] + 7
    torch.testing.assert_close(
        head_pose(points, face)[0], torch.tensor([yaw, pitch, roll]).double(), atol=1e-3, rtol=1e-5
    )


def test_signs_are_as_documented() -> None:
    face = load_shape(FACE)
    nose, eyes = RIGID.index(30), [RIGID.index(36), RIGID.index(45)]
    frontal = views(face.double(), torch.zeros(1, 3))[0]
    right = views(face.double(), torch.tensor([[30.0, 0, 0]]))[0]
    up = views(face.double(), torch.tensor([[0.0, 20, 0]]))[0]
    clockwise = views(face.double(), torch.tensor([[0.0, 0, 20]]))[0]
    assert right[nose, 0] - right[eyes].mean(0)[0] > frontal[nose, 0] - frontal[eyes].mean(0)[0] + 1
    assert up[nose, 1] - up[eyes].mean(0)[1] < frontal[nose, 1] - frontal[eyes].mean(0)[1] - 1
    assert clockwise[eyes[1], 1] > clockwise[eyes[0], 1] + 1  # the eye on the right goes down


def test_the_shape_of_many_noisy_views_is_found_again() -> None:
    rng = torch.Generator().manual_seed(0)
    truth = load_shape(FACE).double()
    full = torch.zeros(68, 3).double()
    full[list(RIGID)] = truth
    angles = torch.randn(1200, 3, generator=rng) * torch.tensor([20.0, 8, 8])
    points = views(full, angles)
    points = points + 0.3 * torch.randn(points.shape, generator=rng).double()
    found = fit_face(points, MIRROR)
    # Pitch 0 is a convention, so compare up to a rotation about x.
    turn = head_pose(found[None, :, :2], truth)[0, 1]
    aligned = found @ rotation(0, float(turn), 0)
    error = (aligned - aligned.mean(0) - (truth - truth.mean(0))).norm(dim=1)
    assert error.max() < 0.05  # of the distance of the outer eye corners


def test_the_shipped_face_is_a_face() -> None:
    face = load_shape(FACE)
    at = {landmark: face[place] for place, landmark in enumerate(RIGID)}
    assert at[45][0] - at[36][0] == pytest.approx(1, abs=0.05)
    assert at[30][2] < at[27][2] < at[36][2]  # nose tip, bridge of the nose, eye: increasingly far away
    assert 0.15 < float(at[36][2] - at[30][2]) < 0.6
    assert at[19][1] < at[37][1] < at[30][1] < at[48][1]  # brow, eye, nose, mouth: downwards


def test_a_file_without_a_face_is_refused(tmp_path: Path) -> None:
    (tmp_path / "face.safetensors").write_bytes(b"no")
    with pytest.raises(WeightsError, match="faceinv fit-face"):
        load_shape(tmp_path / "face.safetensors")


def test_colours_are_those_of_their_regions() -> None:
    x, y = face_coordinates(FRAMING).unbind(-1)
    head = (x / 1.3).square() + ((y - 0.15) / 1.9).square() < 1
    face_colour, back_colour = torch.tensor([0.8, 0.6, 0.5]), torch.tensor([0.1, 0.3, 0.9])
    image = torch.where(head, face_colour[:, None, None], back_colour[:, None, None])[None]
    skin = MeanColour(framing=FRAMING, region="skin")
    background = MeanColour(framing=FRAMING, region="background")
    torch.testing.assert_close(skin.measure(image)[0], face_colour, atol=0.01, rtol=0)
    torch.testing.assert_close(background.measure(image)[0], back_colour, atol=0.03, rtol=0)
    assert float(skin.error(skin.label(image), skin.label(image + 0.1))) == pytest.approx(25.5, abs=0.01)
    assert float((skin_mask(FRAMING) * background_mask(FRAMING)).sum()) < 1e-6


def test_a_frame_without_background_says_so() -> None:
    tight = Framing("tight", (50, 50), ((0.2, 0.3), (0.8, 0.3), (0.5, 0.55), (0.25, 0.8), (0.75, 0.8)))
    with pytest.raises(UsageError, match="'tight' shows no background"):
        MeanColour(framing=tight, region="background")


@pytest.mark.parametrize(("across", "down"), [(0.4, 0.0), (-0.3, 0.2), (0.0, -0.5)])
def test_light_is_read_from_a_lit_ellipsoid(across: float, down: float) -> None:
    x, y = face_coordinates(FRAMING).unbind(-1)
    shading = 0.5 * (1 + across * x / 1.2 + down * (y - 0.5) / 1.65)
    image = shading.clamp(0, 1).expand(1, 3, -1, -1)
    probe = IlluminationProbe(framing=FRAMING)
    expected = torch.tensor([[across, down]])
    torch.testing.assert_close(probe.measure(image), expected, atol=0.02, rtol=0)
    torch.testing.assert_close(probe.measure(image * 0.5), expected, atol=0.02, rtol=0)  # exposure does not matter
    torch.testing.assert_close(probe.measure(image.flip(3)), probe.mirror(expected), atol=0.02, rtol=0)


@pytest.fixture
def loader(cache: Path) -> Loader:
    host = Host()
    return Loader(host, WeightStore(host, offline=True))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEINV_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_each_is_measured_with_gradients_and_is_a_loss(loader: Loader, name: str) -> None:
    probe: Probe = loader.probe(name, FRAMING)
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, 96, 120, generator=rng, requires_grad=True)
    measured = probe.measure(images)
    assert measured.shape == (3, *probe.shape)
    measured.square().sum().backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()
    assert float(images.grad.abs().sum()) > 0
    assert loader.host.spec("loss", name).probe == name
    assert probe.error(measured, measured).tolist() == [0, 0, 0]


def test_the_pose_gets_the_landmarks_by_name(loader: Loader) -> None:
    probe = loader.probe("pose", FRAMING)
    assert isinstance(probe, PoseProbe)
    assert probe.sources == (loader.probe("landmarks", FRAMING),)
    hashes = loader.hashes(loader.host.spec("probe", "pose"))
    assert set(hashes) == {"attributes/face", "landmarks/measure"}


def test_without_landmarks_the_pose_says_what_to_install(cache: Path) -> None:
    host = Host(blocked=["landmarks"])
    with pytest.raises(PluginError, match=r"computed from the probe 'landmarks'.*pip install faceinv-plugins"):
        Loader(host, WeightStore(host, offline=True)).probe("pose", FRAMING)
