"""What ``gpu.py`` measures: steps of an inversion in all precisions and modes, and the device's own limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from faceinv_histogram.soft import soft_histogram
from random_networks import Step
from torch import Tensor

from faceinv.attack import invert
from faceinv.models.graphs import graphed
from faceinv.models.precision import StepGenerator, in_bf16
from faceinv.testing.spy import DescriptorDistance

Function = Callable[[Tensor], Tensor]

PRECISIONS = ("fp32", "tf32", "bf16")
MODES = ("eager", "cuda graph", "compiled")


@dataclass
class Measure:
    """A measurement.

    Args:
        what: What was measured.
        rate: How many a second.
        unit: Of what.
        memory: Peak memory in MB, 0 where it was not measured.
        settings: Batch size, precision, mode.
        error: Why there is none.
    """

    what: str
    rate: float = 0.0
    unit: str = "image-steps"
    memory: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    def record(self) -> dict[str, Any]:
        """Return it for a JSON file."""
        return asdict(self)


class Device:
    """The device that is measured.

    Args:
        name: ``cuda``, or ``cpu`` for a trial.
        seconds: How long one measurement takes.
        trial: Run each job once, whatever it takes.
    """

    def __init__(self, name: str, seconds: float, *, trial: bool = False) -> None:
        self.device = torch.device(name)
        self.seconds = seconds
        self.trial = trial

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def wait(self) -> None:
        if self.is_cuda:
            torch.cuda.synchronize()

    def seconds_of(self, job: Callable[[], object]) -> tuple[float, float]:
        """Return the mean seconds of a job after two warm-up runs, and the peak memory in MB."""
        if self.is_cuda:
            torch.cuda.reset_peak_memory_stats()
        at_once = 1 if self.trial else 3
        for _ in range(at_once - 1):
            job()
        self.wait()
        began, runs = time.perf_counter(), 0
        while not runs or (time.perf_counter() - began < self.seconds and not self.trial):
            # Several runs between two looks at the clock, as the device works behind the program.
            for _ in range(at_once):
                job()
            runs += at_once
            self.wait()
        took = (time.perf_counter() - began) / runs
        return took, torch.cuda.max_memory_allocated() / 1e6 if self.is_cuda else 0.0


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Allow TF32 in the block, or not."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = name == "tf32"
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def functions(step: Step, latents: Tensor, kind: str, mode: str) -> tuple[Function, Function]:
    """Return generator and encoder in this precision and mode."""
    generate, encode = step.images, step.encode
    if kind == "bf16":
        generate, encode = in_bf16(generate, latents.device.type), in_bf16(encode, latents.device.type)
    if mode == "compiled":
        return torch.compile(generate), torch.compile(encode)
    if mode == "cuda graph":
        return graphed((generate, encode), latents)
    return generate, encode


def bare(generate: Function, encode: Function, latents: Tensor, target: Tensor) -> Callable[[], object]:
    """Return a job that is one step of Adam on the distance to a descriptor, without faceinv."""
    leaf = latents.clone().requires_grad_()
    optimizer = torch.optim.Adam([leaf], lr=0.01)

    def job() -> None:
        (leaf.grad,) = torch.autograd.grad((encode(generate(leaf)) - target).square().sum(), leaf)
        optimizer.step()

    return job


def tried(
    what: str,
    amount: float,
    settings: dict[str, Any],
    measure: Callable[[], tuple[float, float]],
    unit: str = "image-steps",
) -> Measure:
    """Return the rate at which ``amount`` is done, or the first line of the error."""
    try:
        took, memory = measure()
    except (RuntimeError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        return Measure(what, unit=unit, settings=settings, error=reason)
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return Measure(what, amount / took, unit, memory, settings)


def steps(device: Device, step: Step, what: str, batch: int, kind: str, mode: str) -> Measure:
    """Measure steps of the bare loop."""

    def measure() -> tuple[float, float]:
        with precision(kind):
            latents = step.latents(batch, device.device)
            with torch.no_grad():
                target = step(latents).flip(0)
            return device.seconds_of(bare(*functions(step, latents, kind, mode), latents, target))

    return tried(what, batch, {"batch": batch, "precision": kind, "mode": mode}, measure)


def engine(device: Device, step: Step, what: str, batch: int, mode: str, method: Any, count: int) -> Measure:
    """Measure ``count`` steps of a method in fp32 by faceinv's engine, of which the bare loop is the reference."""

    def measure() -> tuple[float, float]:
        with precision("fp32"):
            latents = step.latents(batch, device.device)
            with torch.no_grad():
                target = step(latents).flip(0)
            generate, encode = functions(step, latents, "fp32", mode)
            generator = StepGenerator(step.generator, lambda given, space: generate(given))
            return device.seconds_of(
                lambda: invert(
                    method,
                    target,
                    encode=encode,
                    access="white-box",
                    generator=generator,
                    space=step.space,
                    objective=DescriptorDistance(),
                    start=lambda given: latents[: len(given)],
                    steps=count,
                    seeds=list(range(batch)),
                    batch_size=batch,
                )
            )

    return tried(what, batch * count, {"batch": batch, "precision": "fp32", "mode": mode}, measure)


def limits(device: Device, side: int) -> Iterator[Measure]:
    """Measure the roofline: a large matrix product in each precision, and a large copy."""
    for kind in PRECISIONS:
        with precision(kind):
            a = torch.ones(side, side, device=device.device, dtype=torch.bfloat16 if kind == "bf16" else torch.float32)
            took, _ = device.seconds_of(lambda a=a: a @ a)
        yield Measure("matrix product", 2 * side**3 / took / 1e12, "TFLOP", settings={"side": side, "precision": kind})
    x = torch.ones(side * side * 4, device=device.device)
    y = torch.empty_like(x)
    took, _ = device.seconds_of(lambda: y.copy_(x))
    yield Measure("copy", 2 * x.nbytes / took / 1e9, "GB", settings={"bytes": x.nbytes})


def embedding(device: Device, step: Step, batch: int, side: int) -> Iterator[Measure]:
    """Measure the encoder alone, without a gradient."""
    crops = torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device.device)
    for kind in PRECISIONS:
        encode = in_bf16(step.encoder, device.device.type) if kind == "bf16" else step.encoder
        with precision(kind), torch.inference_mode():
            took, memory = device.seconds_of(lambda encode=encode: encode(crops))
        settings = {"batch": batch, "precision": kind}
        yield Measure("embedding", batch / took, "images", memory, settings)


def histograms(device: Device, batch: int, side: int) -> Iterator[Measure]:
    """Measure the soft histogram and its gradient, beside kornia's where it is installed."""
    images = torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device.device)
    settings = {"batch": batch, "side": side}

    def job(function: Function) -> Callable[[], object]:
        leaf = images.clone().requires_grad_()
        return lambda: torch.autograd.grad(function(leaf).square().sum(), leaf)

    def kornia() -> tuple[float, float]:
        from faceinv_histogram.kornia_measure import histogram

        return device.seconds_of(job(histogram))

    yield tried("soft histogram", batch, settings, lambda: device.seconds_of(job(soft_histogram)), "images")
    yield tried("kornia's histogram", batch, settings, kornia, "images")
