"""On a GPU: networks give what they give on a CPU, a step waits for nothing, and records are read on either device.

Skipped where there is no CUDA device; ``python benchmarks/gpu.py`` runs them there.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from faceinv_histogram.soft import soft_histogram
from faceinv_id2image.methods import LatentAdam
from faceinv_methods.multi_start import MultiStart
from faceinv_methods.pixel import Pixel
from random_networks import ENCODERS, GENERATORS, Step
from torch import Tensor

from faceinv.attack import invert
from faceinv.hardware import sent
from faceinv.models.batching import batch_size_for
from faceinv.models.graphs import graphed
from faceinv.models.precision import in_bf16
from faceinv.testing.spy import DescriptorDistance

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("default"),  # of drivers and prototypes
]

CUDA = torch.device("cuda")
CHAINS = [
    ("DCGAN", "MobileFaceNet"),
    ("tiny StyleGAN2", "iResNet-50"),
    ("tiny StyleGAN2", "VGGFace2 ResNet-50"),
]
#: Largest relative error of a network in fp32, and in TF32, which has 10 bits of mantissa.
TOLERANCE = {False: 1e-4, True: 2e-2}


@pytest.fixture(params=[False, True], ids=["fp32", "tf32"])
def tf32(request: pytest.FixtureRequest) -> Iterator[bool]:
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = request.param
    yield request.param
    for backend, allowed in zip(backends, before, strict=True):
        backend.allow_tf32 = allowed


@pytest.fixture
def exact() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(params=CHAINS, ids=str)
def step(request: pytest.FixtureRequest) -> Step:
    return Step(*request.param)


@contextmanager
def synchronising(mode: str) -> Iterator[list[warnings.WarningMessage]]:
    """In the block, warn about each synchronisation with the device, or fail; yield the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode(mode)
        caught.clear()  # PyTorch warns that this mode is a prototype
        try:
            yield caught
        finally:
            torch.cuda.set_sync_debug_mode("default")


def difference(found: Tensor, expected: Tensor) -> float:
    """Return the error in units of the expected tensor's norm."""
    return float((found.cpu().double() - expected.double()).norm() / expected.double().norm())


def passed(step: Step, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return descriptors, images and the gradient of the descriptors' sum to the latents."""
    latents = step.latents(3, device).requires_grad_()
    images = step.images(latents)
    descriptors = step.encode(images)
    (gradient,) = torch.autograd.grad(descriptors.sum(), latents)
    return descriptors.detach(), images.detach(), gradient


def test_networks_and_gradients_are_those_of_the_cpu(step: Step, tf32: bool) -> None:
    expected = passed(step, torch.device("cpu"))
    found = passed(copy.deepcopy(step).to(CUDA), CUDA)
    for one, other in zip(found, expected, strict=True):
        assert one.device.type == "cuda"
        assert difference(one, other) < TOLERANCE[tf32] * (10 if other is expected[2] else 1)


@pytest.mark.parametrize("name", [name for name in GENERATORS if "1024" not in name])
def test_a_generator_moves_there_and_back(name: str) -> None:
    build, space = GENERATORS[name]
    network = build()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.to(CUDA)
    assert {value.device.type for value in network.state_dict().values()} == {"cuda"}
    images = network(network.sample(1, space, torch.Generator().manual_seed(0)).to(CUDA), space)
    assert images.device.type == "cuda"
    network.to("cpu")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_in_bf16_points_where_it_does_in_fp32(name: str) -> None:
    network = ENCODERS[name][0]().to(CUDA)
    side = 224 if "VGGFace2" in name else 112
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)).to(CUDA)
    with torch.no_grad():
        exact, lowered = network(images), in_bf16(network, "cuda")(images)
    assert lowered.dtype == torch.float32
    assert float(torch.cosine_similarity(exact, lowered).min()) > 0.98


def test_a_repeated_run_is_the_same(step: Step, exact: None) -> None:
    step.to(CUDA)
    latents = step.latents(2, CUDA)
    with torch.no_grad():
        assert torch.equal(step(latents), step(latents))
    histograms = [soft_histogram(step.images(latents)) for _ in range(2)]
    assert torch.equal(*histograms)
    # The gradient of a warp is summed in any order.
    gradients = [passed(step, CUDA)[2] for _ in range(2)]
    assert difference(gradients[0], gradients[1].cpu()) < 1e-4


def inverted(step: Step, steps: int, **options: Any) -> Any:
    device = next(iter(step.state_dict().values())).device
    latents = step.latents(2, device)
    with torch.no_grad():
        target = step(latents).flip(0)
    return invert(
        LatentAdam(**options),
        target,
        encode=step.encode,
        access="white-box",
        generator=step.generator,
        space=step.space,
        objective=DescriptorDistance(),
        start=lambda given: latents[: len(given)],
        steps=steps,
        seeds=[0, 1],
        batch_size=2,
    )


def test_an_inversion_is_that_of_the_cpu_up_to_rounding(step: Step, exact: None) -> None:
    expected = inverted(step, 5, patience=0)
    found = inverted(step.to(CUDA), 5, patience=0)
    assert difference(found.trajectory["total"], expected.trajectory["total"]) < 1e-2
    assert found.image_steps == expected.image_steps


def test_no_step_synchronises(step: Step) -> None:
    step.to(CUDA)
    latents = step.latents(2, CUDA)
    with torch.no_grad():
        target = step(latents).flip(0)
    leaf = latents.clone().requires_grad_()
    optimizer = torch.optim.Adam([leaf], lr=0.01)

    def one() -> None:
        images = step.images(leaf)
        total = (step.encode(images) - target).square().sum() + soft_histogram(images).square().sum()
        (leaf.grad,) = torch.autograd.grad(total, leaf)
        optimizer.step()

    one()
    torch.cuda.synchronize()
    with synchronising("error"):
        for _ in range(3):
            one()


@pytest.mark.parametrize("name", ["latent-adam", "pixel", "multi-start"])
def test_a_method_synchronises_equally_often_for_any_number_of_steps(name: str) -> None:
    built = {"latent-adam": LatentAdam(patience=0), "pixel": Pixel(), "multi-start": MultiStart(kept=1e-6)}[name]
    step = Step("DCGAN", "MobileFaceNet").to(CUDA)
    latents = step.latents(2, CUDA)
    with torch.no_grad():
        target = step(latents).flip(0)
    counts = []
    for steps in (40, 60):
        with synchronising("warn") as caught:
            invert(
                built,
                target,
                encode=step.encode,
                access="white-box",
                generator=step.generator,
                space="z",
                objective=DescriptorDistance(),
                start=lambda given: latents[: len(given)],
                steps=steps,
                seeds=[0, 1],
                batch_size=1000,
            )
        counts.append(sum("synchroniz" in str(warning.message) for warning in caught))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("kind", ["fp32", "bf16"])
def test_a_captured_step_is_the_step_itself(step: Step, exact: None, kind: str) -> None:
    step.to(CUDA)
    latents = step.latents(2, CUDA)
    plain = (step.images, step.encode)
    if kind == "bf16":
        plain = tuple(in_bf16(function, "cuda") for function in plain)
    replayed = graphed(plain, latents)
    for seed in range(3):
        moved = latents + 0.1 * torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed)).to(CUDA)
        results = []
        for generate, encode in (plain, replayed):
            leaf = moved.clone().requires_grad_()
            descriptors = encode(generate(leaf))
            (gradient,) = torch.autograd.grad(descriptors.sum(), leaf)
            results.append((descriptors.detach(), gradient))
        assert difference(results[1][0], results[0][0].cpu()) < (1e-5 if kind == "fp32" else 1e-2)
        assert difference(results[1][1], results[0][1].cpu()) < (1e-3 if kind == "fp32" else 1e-1)
    # Another batch is computed without the graph.
    with torch.no_grad():
        assert torch.equal(replayed[1](replayed[0](latents[:1])), plain[1](plain[0](latents[:1])))


def test_a_copy_through_pinned_memory_has_the_same_numbers() -> None:
    numbers = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    found = [sent(numbers + index, CUDA, torch.float32) for index in range(20)]
    assert all(torch.equal(one.cpu(), numbers + index) for index, one in enumerate(found))


def test_a_batch_fits_the_free_memory() -> None:
    step = Step("DCGAN", "MobileFaceNet").to(CUDA)
    latents = step.latents(1, CUDA).requires_grad_()
    size = batch_size_for(lambda: step(latents), step, CUDA)
    assert 1 <= size <= 64
    passed(step, CUDA)


TOY = [
    "bench", "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
    "--limit", "6", "--pairs", "200", "--steps", "8", "--losses", "id", "--metric", "mse",
    "--metric", "id_sim_attacked", "--json", "--workers", "1",
]  # fmt: skip


@pytest.mark.parametrize("first", ["cpu", "cuda"])
def test_records_of_one_device_are_read_on_the_other(run: Any, cache: Path, tmp_path: Path, first: str) -> None:
    pytest.importorskip("pydantic")
    other = "cuda" if first == "cpu" else "cpu"
    results = [
        run(*TOY, "--device", device, "--out", tmp_path / folder)
        for device, folder in ((first, "shared"), (other, "shared"), (other, "own"))
    ]
    assert [result.code for result in results] == [0, 0, 0], results[-1].err
    assert results[0].json == results[1].json
    names = [{path.name for path in (tmp_path / folder / "cells").glob("*.json")} for folder in ("shared", "own")]
    assert names[0] == names[1]
    for one, again in zip(results[0].json, results[2].json, strict=True):
        for metric, score in one["metrics"].items():
            assert score["mean"] == pytest.approx(again["metrics"][metric]["mean"], rel=1e-3, abs=1e-4)
