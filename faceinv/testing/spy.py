"""Watch a method: its queries to the encoder, and whether it touches the target's image."""

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
    """An image that records every operation on it."""

    touched: list[str]

    @classmethod
    def of(cls, image: Tensor) -> SpyImage:
        """Return a copy of ``image`` that is watched."""
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
        """Record the operation on every watched image among the arguments, and execute it."""
        for given in args:
            for item in given if isinstance(given, (list, tuple)) else [given]:
                if isinstance(item, SpyImage) and "touched" in item.__dict__:
                    item.touched.append(getattr(func, "__name__", str(func)))
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


class DescriptorDistance:
    """The objective for checking methods: squared distance to the target descriptor."""

    def prepare(self, descriptors: Tensor) -> Tensor:
        """Return the target descriptors ``(B, D)``."""
        return descriptors

    def __call__(self, candidate: Candidate, prepared: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the distance ``(B,)``, and the same as the only term."""
        value = (candidate.descriptors - prepared).square().sum(1)
        return value, {"id": value.detach()}


@dataclass
class Watched:
    """One run of a method and its observations.

    Args:
        result: The method's result.
        descriptors: The descriptors that it was given.
        queried: Number of images that actually reached the encoder.
        touched: Operations on the target's image.
        backward: Whether a gradient was taken through the encoder.
        queried_in_training: Number of images that reached the encoder while the method was trained.
    """

    result: Inversion
    descriptors: Tensor
    queried: int
    touched: list[str] = field(default_factory=list)
    backward: bool = False
    queried_in_training: int = 0


class _Gate(torch.autograd.Function):
    """The identity function, which records backward passes."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, passes: list[bool]) -> Tensor:
        ctx.passes = passes
        return given.view_as(given)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        ctx.passes.append(True)
        return gradients[0], None


def watch(
    method: Any, spec: MethodSpec, *, steps: int = 12, rows: slice = slice(0, 3), batch_size: int = 8, seed: int = 0
) -> Watched:
    """Run a method on descriptors of drawn faces, with the engine of a real run, and watch it.

    Args:
        method: The built method.
        spec: Its declaration.
        steps: Budget per target.
        rows: Which of three targets to invert.
        batch_size: Targets per batch.
        seed: Seed for the targets' seeds.
    """
    queried_in_training = _train(method, spec)
    with torch.no_grad():
        hidden = chain().sample(3, 31)
    # Kept alive in this frame, where a method that inspects its caller would find it.
    target_images = SpyImage.of(hidden.images)
    descriptors = hidden.descriptors[rows].clone()
    backward: list[bool] = []
    queried: list[int] = []

    def encode(images: Tensor) -> Tensor:
        queried.append(len(images))
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
    return Watched(result, descriptors, sum(queried), list(target_images.touched), bool(backward), queried_in_training)


#: Tensors that methods learnt from the chain's faces, and the queries that took; shared by all checks.
_LEARNT: dict[str, tuple[dict[str, Tensor], int]] = {}


def _train(method: Any, spec: MethodSpec) -> int:
    """Train a method on the chain's faces, and return how many images reached the encoder."""
    if not isinstance(method, LearningMethod):
        return 0
    queried = 0

    def encode(images: Tensor) -> Tensor:
        nonlocal queried
        queried += len(images)
        return chain().encode(images)

    def cached(settings: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        nonlocal queried
        key = f"{spec.target} {spec.offline} {sorted(settings.items())}"
        if key not in _LEARNT:
            _LEARNT[key] = make(), queried
        learnt, queried = _LEARNT[key]
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
    return queried
