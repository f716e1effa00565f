"""Watching a method: what it asks of the encoder, and whether it ever touches the target's image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from faceinv.attack.engine import invert
from faceinv.attack.teaching import Lesson
from faceinv.contracts.methods import Candidate, Inversion, LearningMethod, Objective, Training
from faceinv.contracts.specs import MethodSpec
from faceinv.probes.whitening import Whitening
from faceinv.testing.chain import chain, start
from faceinv.testing.checks import CheckFailed


class SpyImage(Tensor):
    """An image that notes every operation it takes part in."""

    touched: list[str]

    @classmethod
    def of(cls, image: Tensor) -> SpyImage:
        """Return ``image`` as one that is watched."""
        spy = image.clone().as_subclass(cls)
        spy.touched = []
        return spy

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Note the operation on every watched image among the arguments, and carry it out."""
        for given in args:
            for item in given if isinstance(given, (list, tuple)) else [given]:
                if isinstance(item, SpyImage) and "touched" in item.__dict__:
                    item.touched.append(getattr(func, "__name__", str(func)))
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


class DescriptorDistance:
    """The objective that methods are checked with: squared distance to the target descriptor."""

    def prepare(self, descriptors: Tensor) -> Tensor:
        """Return the target descriptors ``(B, D)``."""
        return descriptors

    def __call__(self, candidate: Candidate, prepared: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the distance ``(B,)`` and its only term."""
        value = (candidate.descriptors - prepared).square().sum(1)
        return value, {"id": value.detach()}


@dataclass
class Watched:
    """One run of a method, and what was seen.

    Args:
        result: What it returned.
        descriptors: The descriptors that it was given.
        asked: Images that the encoder was really asked about.
        touched: Operations that the target's image took part in.
        backward: Whether a gradient was taken through the encoder.
        learnt_from: Images that the encoder was asked about while it learnt.
    """

    result: Inversion
    descriptors: Tensor
    asked: int
    touched: list[str] = field(default_factory=list)
    backward: bool = False
    learnt_from: int = 0


class _Gate(torch.autograd.Function):
    """The identity, which notes when a gradient comes back through it."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, noted: list[bool]) -> Tensor:
        ctx.noted = noted
        return given.view_as(given)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        ctx.noted.append(True)
        return gradients[0], None


def watch(
    method: Any, spec: MethodSpec, *, steps: int = 12, rows: slice = slice(0, 3), batch_size: int = 8, seed: int = 0
) -> Watched:
    """Run a method on drawn faces' descriptors, with the engine that a run uses, and watch it.

    Args:
        method: The built method.
        spec: What it declares: with white-box access gradients flow, and are noted.
        steps: Budget of a target.
        rows: Which of three targets.
        batch_size: Targets at a time.
        seed: Seed of the targets' seeds.
    """
    learnt_from = _teach(method, spec)
    with torch.no_grad():
        hidden = chain().sample(3, 31)
    # Alive in this frame, where a method that looks around would find it.
    target_images = SpyImage.of(hidden.images)
    descriptors = hidden.descriptors[rows].clone()
    backward: list[bool] = []
    asked: list[int] = []

    def encode(images: Tensor) -> Tensor:
        asked.append(len(images))
        descriptors = chain().encode(images)
        return _Gate.apply(descriptors, backward) if descriptors.requires_grad else descriptors

    objective: Objective = DescriptorDistance()
    try:
        result = invert(
            method,
            descriptors,
            encode=encode,
            access=spec.access,
            generator=chain().generator,
            space="z",
            objective=objective,
            start=None if spec.offline == "none" else start(),
            steps=steps,
            seeds=[1000 * seed + row for row in range(3)[rows]],
            name=spec.name,
            batch_size=batch_size,
        )
    except RuntimeError as error:
        raise CheckFailed(f"It fails with {spec.access} access: {error}") from error
    return Watched(result, descriptors, sum(asked), list(target_images.touched), bool(backward), learnt_from)


#: What methods learnt from the chain's faces, and how many images that took: once, for all checks.
_LEARNT: dict[str, tuple[dict[str, Tensor], int]] = {}


def _teach(method: Any, spec: MethodSpec) -> int:
    """Let a method learn from the chain's faces, and return how many images it asked the encoder about."""
    if not isinstance(method, LearningMethod):
        return 0
    asked = 0

    def encode(images: Tensor) -> Tensor:
        nonlocal asked
        asked += len(images)
        return chain().encode(images)

    def cached(settings: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        nonlocal asked
        key = f"{spec.target} {spec.offline} {sorted(settings.items())}"
        if key not in _LEARNT:
            _LEARNT[key] = make(), asked
        learnt, asked = _LEARNT[key]
        return {name: tensor.clone() for name, tensor in learnt.items()}

    with torch.no_grad():
        faces = chain().sample(240, 11)
    assert faces.latents is not None
    lesson = Lesson(spec, encode)
    method.prepare(
        Training(
            latents=faces.latents,
            descriptors=faces.descriptors,
            generator=chain().generator,
            space="z",
            encode=lesson,
            whiten=Whitening.fitted(faces.descriptors, torch.arange(len(faces.descriptors))),
            seed=0,
            cached=cached,
            progress=lambda what, done, of: None,
        )
    )
    lesson.end()
    return asked
