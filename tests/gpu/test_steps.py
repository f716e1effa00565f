"""Nothing in a step waits for a device, loops over targets, or makes a tensor on the default device; on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from elsewhere import Makes, Watch, here, move, there
from faceinv_histogram.soft import soft_histogram
from random_networks import Step
from torch import Tensor

from faceinv.attack import invert
from faceinv.contracts import Candidate, LossContext, MethodSpec, Probe
from faceinv.framing import warp_between
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.plugins.registry import load_target
from faceinv.probes import Whitening
from faceinv.testing.chain import chain, train_and_test
from faceinv.testing.faces import FRAME, DrawnFaces
from faceinv.testing.spy import DescriptorDistance
from faceinv.testing.toy import FRAMING
from faceinv.testing.toy_networks import ToyEncoder
from faceinv.weights import WeightStore

HOST = Host()

#: Methods that optimise on the device. CMA-ES searches on the CPU, and reads the scores of every generation.
METHODS = [spec for spec in HOST.specs("method") if spec.access == "white-box" or spec.name in ("blobs", "zeroth")]
LOSSES = HOST.specs("loss")


def whitening() -> Whitening:
    descriptors = train_and_test()[0].descriptors
    return Whitening.fitted(descriptors, torch.arange(len(descriptors)))


def run(spec: MethodSpec, targets: int, steps: int, put: Callable[[Any], Any], options: dict[str, Any]) -> Any:
    """Run a method on the chain, with networks and descriptors where ``put`` puts them."""
    return prepared(spec, targets, steps, put, options)()


def prepared(
    spec: MethodSpec, targets: int, steps: int, put: Callable[[Any], Any], options: dict[str, Any]
) -> Callable[[], Any]:
    """Return what runs a method, with everything built."""
    generator = put(DrawnFaces().eval().requires_grad_(False))
    encoder, warp = put(ToyEncoder().eval().requires_grad_(False)), put(warp_between(FRAME, FRAMING))
    method = load_target(spec)(**spec.options, **options)
    if hasattr(method, "_whiten"):
        method._whiten = put(whitening())
    with torch.no_grad():
        faces = chain().sample(targets, 31)
    start = put(faces.latents / 2)
    descriptors = put(faces.descriptors)
    return lambda: invert(
        method,
        descriptors,
        encode=lambda images: encoder(warp(images)),
        access=spec.access,
        generator=generator,
        space="z",
        objective=DescriptorDistance(),
        start=lambda given: start[: len(given)],
        steps=steps,
        seeds=list(range(targets)),
        name=spec.name,
        batch_size=1000,
    )


def move_probe(probe: Probe) -> None:
    """Move what the loader moves."""
    for name, part in list(vars(probe).items()):
        if isinstance(part, torch.nn.Module):
            move(part)
        elif isinstance(part, Tensor):
            setattr(probe, name, there(part))
        elif name == "sources":
            for source in part:
                move_probe(source)


def put_there(given: Any) -> Any:
    return there(given) if isinstance(given, Tensor) else move(given)


@pytest.mark.parametrize("spec", METHODS, ids=lambda spec: spec.name)
def test_a_method_waits_for_no_device_and_does_the_same_for_any_number_of_targets(spec: MethodSpec) -> None:
    options = {"patience": 0} if spec.name == "latent-adam" else {}
    if spec.name == "multi-start":
        options["kept"] = 1e-6  # one start, whatever the budget
    counts: dict[int, list[int]] = {}
    for targets in (2, 5):
        for steps in (60, 90):
            with Watch() as watch:
                run(spec, targets, steps, put_there, options)
            counts.setdefault(targets, []).append(watch.operations)
            if steps == 60:
                before = watch.waits
        more = watch.waits[len(before) :] if watch.waits[: len(before)] == before else watch.waits
        assert len(watch.waits) == len(before), "\n".join(more)
    (few, few_more), (many, many_more) = counts[2], counts[5]
    assert few_more - few == many_more - many, "a step loops over targets"


@pytest.mark.parametrize("spec", METHODS, ids=lambda spec: spec.name)
def test_elsewhere_a_method_finds_the_same(spec: MethodSpec) -> None:
    own = run(spec, 3, 20, lambda given: given, {})
    with Watch():
        other = run(spec, 3, 20, put_there, {})
    torch.testing.assert_close(here(other.images), own.images, atol=1e-4, rtol=1e-4)


def test_who_has_converged_is_looked_up_every_five_steps() -> None:
    spec = HOST.spec("method", "latent-adam")
    waits = []
    for steps in (60, 90):
        with Watch() as watch:
            run(spec, 3, steps, put_there, {"patience": 1000})
        waits.append(len(watch.waits))
    assert waits[1] - waits[0] == 30 / 5


@pytest.mark.parametrize("spec", METHODS, ids=lambda spec: spec.name)
def test_a_method_makes_no_tensor_on_the_default_device(spec: MethodSpec) -> None:
    go = prepared(spec, 2, 60, lambda given: given, {})
    with Makes() as makes:
        go()
    assert sorted(set(makes.made)) == []


@pytest.mark.parametrize("spec", LOSSES, ids=lambda spec: spec.name)
def test_a_loss_waits_for_no_device_and_makes_no_tensor_on_the_default_one(spec: Any) -> None:
    faces = [chain().sample(n, 14) for n in (2, 5)]
    probe = Loader(HOST, WeightStore(HOST)).probe(spec.probe, FRAME) if spec.probe else None
    truth = probe.measure(faces[1].images.detach()) if probe else torch.zeros(())
    if probe:
        move_probe(probe)
    covariance = torch.eye(len(probe.coordinates(truth)[0])) if probe else torch.zeros(())
    truth, covariance = there(truth), there(covariance)
    context = LossContext("balanced", 1.0, probe, lambda given: truth[: len(given)], covariance, move(whitening()))
    with Watch():
        loss = load_target(spec)(context, **spec.options)
    operations = []
    for face in faces:
        own = Candidate(*(there(t).requires_grad_() for t in (face.latents, face.images, face.descriptors)))
        with Watch() as watch:
            prepared = loss.prepare(there(face.descriptors).flip(0))
            watch.waits, watch.operations = [], 0
            with Makes() as makes:
                value = loss(own, prepared)
                torch.autograd.grad(value.sum(), [own.images, own.descriptors], allow_unused=True)
        assert watch.waits == []
        assert makes.made == []
        operations.append(watch.operations)
    assert operations[0] == operations[1], "the loss loops over targets"


@pytest.mark.parametrize("name", sorted({spec.probe for spec in LOSSES if spec.probe}))
def test_a_loader_puts_every_tensor_of_a_probe_on_its_device(name: str) -> None:
    probe = Loader(HOST, WeightStore(HOST), device="meta").probe(name, FRAME)
    held = [value for value in vars(probe).values() if isinstance(value, Tensor)]
    for part in vars(probe).values():
        if isinstance(part, torch.nn.Module):
            held += [*part.parameters(), *part.buffers()]
    assert {tensor.device.type for tensor in held} <= {"meta"}


@pytest.mark.parametrize("bins", [1, 10])
def test_the_soft_histogram_of_accelerators_is_that_of_processors(bins: int) -> None:
    images = torch.rand(2, 3, 40, 30, generator=torch.Generator().manual_seed(0))
    found = []
    with Watch():
        for put in (torch.clone, there):
            leaf = put(images).requires_grad_()
            histogram = soft_histogram(leaf, bins)
            (gradient,) = torch.autograd.grad(histogram.square().sum(), leaf)
            found.append((here(histogram), here(gradient)))
    torch.testing.assert_close(found[1][0], found[0][0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found[1][1], found[0][1], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("generator", ["DCGAN", "tiny StyleGAN2"])
def test_networks_wait_for_no_device(generator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The device that stands for another one has no autocast.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    step = Step(generator, "MobileFaceNet")
    expected = step(step.latents(2, torch.device("cpu")))
    latents = there(step.latents(2, torch.device("cpu"))).requires_grad_()
    move(step)
    with Watch() as watch, Makes() as makes:
        descriptors = step(latents)
        torch.autograd.grad(descriptors.sum(), latents)
    assert watch.waits == []
    assert makes.made == []
    torch.testing.assert_close(here(descriptors), expected, atol=1e-4, rtol=1e-3)
