"""Engine of an inversion: runs a method on batches of targets, meters its access and joins the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

import torch
from torch import Tensor

from faceinv.attack.meter import Meter
from faceinv.contracts.methods import Inversion, InversionTask, Method, Objective
from faceinv.contracts.networks import Generator
from faceinv.errors import PluginError


def invert(
    method: Method,
    descriptors: Tensor,
    *,
    encode: Callable[[Tensor], Tensor],
    access: str,
    generator: Generator,
    space: str,
    objective: Objective,
    start: Callable[[Tensor], Tensor] | None,
    steps: int,
    seeds: Sequence[int],
    name: str = "",
    batch_size: int = 32,
    on_images: Callable[[int], None] | None = None,
) -> Inversion:
    """Run ``method`` on all targets, ``batch_size`` at a time.

    Args:
        method: The inversion algorithm.
        descriptors: The leaked descriptors ``(N, D)``.
        encode: The attacked encoder, for images in the generator's framing.
        access: The method's access to it.
        generator: The face prior.
        space: Latent space.
        objective: Objective to minimise.
        start: Regressor from descriptors to latents; ``None`` for a method that declares ``offline="none"``.
        steps: Budget per target: the number of images that may be passed to the encoder.
        seeds: One seed per target.
        name: The method's name, for errors.
        batch_size: Targets at a time.
        on_images: Called with the number of images just passed to the encoder, and after each batch with the unused
            part of its budget.

    Returns:
        The reconstructions of all targets, on the CPU, and their use of the encoder.

    Raises:
        PluginError: if the method exceeds its access or its budget, or returns something of another size.
    """
    name = name or type(method).__name__
    parts: list[Inversion] = []
    for first in range(0, len(descriptors), batch_size):
        batch = descriptors[first : first + batch_size]
        meter = Meter(
            encode,
            generator,
            space,
            objective,
            batch,
            method=name,
            access=access,
            budget=steps,
            batch_size=batch_size,
            on_images=on_images,
        )
        part = method(
            InversionTask(
                descriptors=batch,
                generator=generator,
                space=space,
                encode=meter.encode,
                score=meter.score,
                objective=objective,
                start=start or _refusal(name),
                steps=steps,
                seeds=seeds[first : first + batch_size],
            )
        )
        returned = {len(part.images), len(part.start), *(() if part.latents is None else (len(part.latents),))}
        if returned != {len(batch)}:
            raise PluginError(f"The method '{name}' returned {len(part.images)} images for {len(batch)} descriptors.")
        parts.append(_metered(part, meter))
        if on_images:
            on_images(len(batch) * steps - int(meter.queries.sum()))
    return _joined(parts)


def _metered(part: Inversion, meter: Meter) -> Inversion:
    """Return the result of a batch on the CPU, with its use of the encoder."""
    return Inversion(
        None if part.latents is None else part.latents.cpu(),
        part.images.cpu(),
        part.start.cpu(),
        {key: series.cpu() for key, series in part.trajectory.items()},
        queries=int(meter.queries.max()),
        image_steps=int(meter.image_steps.max()),
        queries_mean=float(meter.queries.double().mean()),
        image_steps_mean=float(meter.image_steps.double().mean()),
    )


def _joined(parts: Sequence[Inversion]) -> Inversion:
    latents = [part.latents for part in parts if part.latents is not None]
    sizes = [len(part.images) for part in parts]

    def mean(values: list[float]) -> float:
        return sum(size * value for size, value in zip(sizes, values, strict=True)) / sum(sizes)

    return Inversion(
        torch.cat(latents) if len(latents) == len(parts) else None,
        torch.cat([part.images for part in parts]),
        torch.cat([part.start for part in parts]),
        {key: _aligned([part.trajectory[key] for part in parts]) for key in parts[0].trajectory},
        queries=max(part.queries for part in parts),
        image_steps=max(part.image_steps for part in parts),
        queries_mean=mean([part.queries_mean for part in parts]),
        image_steps_mean=mean([part.image_steps_mean for part in parts]),
    )


def _aligned(series: list[Tensor]) -> Tensor:
    """Join series ``(n, B)`` of batches along the targets; one that ended early keeps its last value."""
    longest = max(map(len, series))
    return torch.cat([torch.cat([own, own[-1:].expand(longest - len(own), -1)]) for own in series], dim=1)


def _refusal(name: str) -> Callable[[Tensor], Tensor]:
    def refuse(descriptors: Tensor) -> NoReturn:
        raise PluginError(
            f"The method '{name}' declares offline='none' but asks for the latent regressor (task.start), which is "
            "trained on pairs; declare offline='pairs'."
        )

    return refuse
