"""MobileFaceNet: the published weights compared with LiteRT, and files that do not match."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from faceinv_arcface.mobilefacenet import MobileFaceNet, mobilefacenet
from faceinv_arcface.plugin import faceinv_encoders
from faceinv_arcface.tflite import read_tflite
from torch import Tensor, nn

from faceinv.errors import WeightsError
from faceinv.models import FrozenPReLU, Loader
from faceinv.plugins import Host
from faceinv.weights import WeightStore

Write = Callable[[Mapping[str, npt.NDArray[np.generic]]], Path]


def faces(count: int, seed: int = 0) -> Tensor:
    """Smooth random pictures over the whole range, with flat black and white parts."""
    coarse = torch.rand(count, 3, 9, 9, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.3
    fine = torch.nn.functional.interpolate(coarse, size=(112, 112), mode="bicubic", align_corners=False)
    return fine.clamp(0, 1)


@pytest.fixture(scope="session")
def file() -> Path:
    return WeightStore(Host()).path("arcface.mobilefacenet/tflite")


@pytest.fixture(scope="session")
def network(file: Path) -> MobileFaceNet:
    return mobilefacenet(file)


@pytest.mark.weights
def test_equals_litert_on_the_published_file(file: Path, network: MobileFaceNet) -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(file), num_threads=1)
    interpreter.allocate_tensors()
    images = faces(4)
    expected = []
    for pair in images.split(2):  # the file's batch is fixed at 2
        pixels = ((pair * 255 - 127.5) / 128).permute(0, 2, 3, 1).contiguous().numpy()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
        interpreter.invoke()
        expected.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).copy())
    reference = torch.from_numpy(np.concatenate(expected))
    with torch.no_grad():
        descriptors = network(images)
        swapped = network(images.flip(1))
    assert (descriptors - reference).abs().max() <= 1e-4
    assert (descriptors - reference).abs().max() <= 1e-5 * reference.abs().max()
    # Swapped channels must give a different descriptor, as in the reference.
    assert torch.cosine_similarity(swapped, reference).max() < 0.99


@pytest.mark.weights
def test_the_spec_describes_the_network(network: MobileFaceNet) -> None:
    (spec,) = [spec for spec in faceinv_encoders() if spec.name == "arcface.mobilefacenet"]
    encoder = Loader(Host(), WeightStore(Host())).encoder("arcface")
    assert encoder.spec == spec
    with torch.no_grad():
        descriptors = encoder(faces(2))
    assert descriptors.shape == (2, spec.dim)
    assert not spec.unit_length
    assert descriptors.norm(dim=1).min() > 2


@pytest.mark.weights
def test_gradient_reaches_the_images_and_not_the_weights(network: MobileFaceNet) -> None:
    images = faces(2).requires_grad_()
    direction = torch.randn(2, 192, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((network(images) * direction).sum(), images)
    step = 1e-3 * gradient / gradient.abs().max()
    with torch.no_grad():
        ahead, behind = ((network(images + sign * step) * direction).sum() for sign in (1, -1))
    assert float((gradient * step).sum()) == pytest.approx(float(ahead - behind) / 2, rel=0.03)
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.weights
def test_a_descriptor_does_not_depend_on_its_batch_mates(network: MobileFaceNet) -> None:
    images = faces(3)
    with torch.no_grad():
        together, alone = network(images), network(images[1:2])
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.weights
def test_a_tensor_short_is_named_as_in_the_file(file: Path, write_tflite: Write) -> None:
    arrays = {name: tensor.numpy() for name, tensor in read_tflite(file).items()}
    torch.testing.assert_close(
        mobilefacenet(write_tflite(arrays)).state_dict(), mobilefacenet(file).state_dict(), rtol=0, atol=0
    )
    name = "MobileFaceNet/SeparableConv2d_3/depthwise_weights/read"
    shapeless = arrays | {name: arrays[name][..., :-1]}
    with pytest.raises(WeightsError, match=f"1 wrongly shaped .{name}"):
        mobilefacenet(write_tflite(shapeless))
    del arrays[name]
    with pytest.raises(WeightsError, match=f"'arcface.mobilefacenet': 1 missing .{name}.*"):
        mobilefacenet(write_tflite(arrays))


def test_another_network_is_refused(write_tflite: Write) -> None:
    path = write_tflite({"logits": np.zeros((3, 4), np.float32)})
    with pytest.raises(WeightsError, match=r"missing \(MobileFaceNet/Conv2d_0/weights/read, .*1 unexpected \(logits\)"):
        mobilefacenet(path)


@pytest.mark.weights
def test_the_network_has_the_gradient_of_pytorchs_layers(
    file: Path, network: MobileFaceNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faceinv_arcface.mobilefacenet.FrozenPReLU", nn.PReLU)
    plain = mobilefacenet(file)
    assert not any(isinstance(layer, FrozenPReLU) for layer in plain.modules())
    images = faces(2).requires_grad_()
    direction = torch.randn(2, 192, generator=torch.Generator().manual_seed(1))
    given, expected = (torch.autograd.grad((net(images) * direction).sum(), images)[0] for net in (network, plain))
    assert (given - expected).norm() < 1e-5 * expected.norm()
