"""The DCGAN generator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from faceinv_dcgan.generator import DCGAN, dcgan, published_layers
from torch import Tensor
from torch.nn import functional as F

from faceinv.contracts import check_images
from faceinv.errors import ShapeError, UnknownNameError, WeightsError
from faceinv.plugins import Host
from faceinv.weights import WeightStore


def random_tensors(seed: int = 0) -> dict[str, Tensor]:
    """Tensors of a checkpoint whose normalisations are far from the identity."""
    rng = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, tensor in published_layers().state_dict(prefix="main.").items():
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.tensor(7)
        elif tensor.ndim == 4:
            tensors[name] = torch.randn(tensor.shape, generator=rng) * (tensor.shape[0] * 4) ** -0.5
        elif name.endswith(("running_var", "weight")):
            tensors[name] = torch.rand(tensor.shape, generator=rng) + 0.3
        else:
            tensors[name] = torch.randn(tensor.shape, generator=rng) * 0.3
    return tensors


def unfolded(tensors: dict[str, Tensor], latents: Tensor) -> Tensor:
    """The network layer by layer from a checkpoint's tensors, without the plugin's code."""
    maps = latents[:, :, None, None]
    for conv, norm in ((0, 1), (3, 4), (6, 7), (9, 10)):
        stride, padding = (1, 0) if conv == 0 else (2, 1)
        maps = F.conv_transpose2d(maps, tensors[f"main.{conv}.weight"], stride=stride, padding=padding)
        mean, var, gamma, beta = (
            tensors[f"main.{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        maps = F.relu(F.batch_norm(maps, mean, var, gamma, beta))
    return (torch.tanh(F.conv_transpose2d(maps, tensors["main.12.weight"], stride=2, padding=1)) + 1) / 2


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> DCGAN:
    path = tmp_path_factory.mktemp("dcgan") / "weights.tar"
    return dcgan(saved(path, {"netG_state_dict": random_tensors()})).eval().requires_grad_(False)


def draw(generator: DCGAN, n: int, seed: int = 1) -> Tensor:
    return generator.sample(n, "z", torch.Generator().manual_seed(seed))


def test_folding_changes_nothing(generator: DCGAN) -> None:
    latents = draw(generator, 4)
    images = generator(latents, "z")
    expected = unfolded(random_tensors(), latents)
    assert expected.std() > 0.1, "the comparison needs images with contrast"
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=0)


def test_images_keep_the_contract(generator: DCGAN) -> None:
    images = generator(draw(generator, 3), "z")
    check_images(images, (64, 64))
    assert images.dtype == torch.float32
    assert 0 <= images.min() < images.max() <= 1


def test_same_seed_same_latents_and_the_global_state_stays(generator: DCGAN) -> None:
    before = torch.get_rng_state()
    assert torch.equal(draw(generator, 5, seed=3), draw(generator, 5, seed=3))
    assert not torch.equal(draw(generator, 5, seed=3), draw(generator, 5, seed=4))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_image_does_not_depend_on_its_batch(generator: DCGAN) -> None:
    latents = draw(generator, 6)
    torch.testing.assert_close(generator(latents[2:3], "z"), generator(latents, "z")[2:3], atol=1e-6, rtol=0)


def test_gradient_reaches_the_latents(generator: DCGAN) -> None:
    latents = draw(generator, 2).requires_grad_()
    weights = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    (generator(latents, "z") * weights).sum().backward()
    reference = latents.detach().clone().requires_grad_()
    (unfolded(random_tensors(), reference) * weights).sum().backward()
    assert latents.grad is not None
    assert reference.grad is not None
    assert latents.grad.norm() > 0
    torch.testing.assert_close(latents.grad, reference.grad, rtol=1e-3, atol=1e-4)


def test_dtype_flows_with_the_module(tmp_path: Path) -> None:
    network = dcgan(saved(tmp_path / "f.pt", random_tensors())).double()
    images = network(torch.zeros(1, *network.latent_shape("z"), dtype=torch.float64), "z")
    assert images.dtype == torch.float64


@pytest.mark.parametrize("shape", [(2, 99), (100,), (1, 100, 1, 1)])
def test_latents_of_another_shape_are_refused(generator: DCGAN, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"\(B, 100\), got"):
        generator(torch.zeros(shape), "z")


def test_an_unknown_space_is_refused(generator: DCGAN) -> None:
    with pytest.raises(UnknownNameError, match="latent space 'w'"):
        generator.sample(1, "w", torch.Generator())


def test_prefixed_names_and_bare_dicts_are_read(generator: DCGAN, tmp_path: Path) -> None:
    latents = draw(generator, 1)
    for content in (
        random_tensors(),
        {f"module.{name}": tensor for name, tensor in random_tensors().items()},
        {"netG_state_dict": random_tensors(), "netD_state_dict": {"x": torch.zeros(1)}, "epoch": 3},
    ):
        again = dcgan(saved(tmp_path / "f.tar", content))
        assert torch.equal(again(latents, "z"), generator(latents, "z"))


def test_wrong_tensors_are_named(tmp_path: Path) -> None:
    tensors = random_tensors()
    del tensors["main.4.bias"]
    tensors["main.12.weight"] = torch.zeros(64, 1, 4, 4)
    tensors["main.15.weight"] = torch.zeros(1)
    with pytest.raises(WeightsError) as caught:
        dcgan(saved(tmp_path / "f.pt", tensors))
    text = str(caught.value)
    assert "1 missing (main.4.bias)" in text
    assert "main.12.weight (64, 1, 4, 4) instead of (64, 3, 4, 4)" in text
    assert "1 unexpected (main.15.weight)" in text
    assert "\n" not in text


class _Code:
    """Writes a file if it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    with pytest.raises(WeightsError, match="code named by a file is never run"):
        dcgan(saved(tmp_path / "f.pt", {"netG_state_dict": _Code(trace)}))
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 broken"])
def test_a_file_that_is_not_a_checkpoint_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"f\.pt") as caught:
        dcgan(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_checkpoint_is_one_clear_line(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.pt", random_tensors()).read_bytes()
    path = tmp_path / "f.pt"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"f\.pt") as caught:
        dcgan(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        dcgan(tmp_path / "none.pt")


@pytest.mark.parametrize("content", [{}, [1, 2], {"epoch": 3}])
def test_a_checkpoint_without_tensors_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(WeightsError, match="contains no state dict"):
        dcgan(saved(tmp_path / "f.pt", content))


def test_declaring_imports_no_torch() -> None:
    calls = "p.faceinv_generators(); p.faceinv_weights()"
    code = f"import sys, faceinv_dcgan.plugin as p; {calls}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_host_finds_it_under_its_bare_name() -> None:
    spec = Host().spec("generator", "dcgan")
    assert spec.name == "dcgan.digiface"
    assert spec.framing.size == (64, 64)


@pytest.mark.weights
def test_published_weights_make_faces_of_many_colours() -> None:
    path = WeightStore(Host()).path("dcgan.digiface/checkpoint")
    tensors = torch.load(path, weights_only=True, map_location="cpu")["netG_state_dict"]
    network = dcgan(path).requires_grad_(False)
    latents = draw(network, 16)
    images = network(latents, "z")
    torch.testing.assert_close(images, unfolded(tensors, latents), atol=1e-5, rtol=0)
    # The mean face is lighter at the cheeks than at the pupils next to them.
    mean = images.mean((0, 1))
    pupils = mean[29:32, 21:24].mean() + mean[29:32, 40:43].mean()
    cheeks = mean[38:41, 19:22].mean() + mean[38:41, 42:45].mean()
    assert pupils < cheeks
    assert images.std(0).mean() > 0.1
