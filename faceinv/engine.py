"""Batches of targets to reconstructions: what a method may touch, what it used, how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from faceinv.contracts import Generator, Inversion, InversionTask, Method, Objective
from faceinv.errors import PluginError


class CountedEncoder:
    """The attacked encoder as a method sees it: it counts, and withholds gradients where none are due.

    Args:
        encode: Images in the generator's framing to descriptors.
        access: ``"white-box"`` or ``"scores"``.
    """

    def __init__(self, encode: Callable[[Tensor], Tensor], access: str) -> None:
        self._encode = encode
        self._white_box = access == "white-box"
        self.queries = 0

    def __call__(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, D)`` of images ``(B, 3, H, W)``."""
        self.queries += len(images)
        if self._white_box:
            return self._encode(images)
        with torch.no_grad():
            return self._encode(images)


def invert(
    method: Method,
    descriptors: Tensor,
    *,
    encode: Callable[[Tensor], Tensor],
    access: str,
    generator: Generator,
    space: str,
    objective: Objective,
    start: Callable[[Tensor], Tensor],
    steps: int,
    seeds: Sequence[int],
    batch_size: int = 32,
    on_step: Callable[[int], None] | None = None,
) -> Inversion:
    """Run ``method`` on all targets, ``batch_size`` at a time.

    Args:
        method: The inversion algorithm.
        descriptors: The leaked descriptors ``(N, D)``.
        encode: The attacked encoder, from the generator's framing.
        access: What of it the method may use.
        generator: The face prior.
        space: Latent space.
        objective: What to minimise.
        start: Regressor from descriptors to latents.
        steps: Optimisation steps per target.
        seeds: One seed per target.
        batch_size: Targets at a time.
        on_step: Called with the number of image-steps done since the last call.

    Returns:
        The reconstructions of all targets, on the CPU, with the encoder queries per target.

    Raises:
        PluginError: the method returns something else than it promised.
    """
    counted = CountedEncoder(encode, access)
    parts: list[Inversion] = []
    for first in range(0, len(descriptors), batch_size):
        batch = descriptors[first : first + batch_size]
        size = len(batch)
        task = InversionTask(
            descriptors=batch,
            generator=generator,
            space=space,
            encode=counted,
            objective=objective,
            start=start,
            steps=steps,
            seeds=seeds[first : first + batch_size],
            on_step=partial(on_step, size) if on_step else _nothing,
        )
        part = method(task)
        if len(part.images) != size or len(part.latents) != size:
            raise PluginError(
                f"The method {type(method).__name__} returned {len(part.images)} images for {size} descriptors."
            )
        parts.append(
            Inversion(
                part.latents.cpu(),
                part.images.cpu(),
                part.start.cpu(),
                {name: series.cpu() for name, series in part.trajectory.items()},
            )
        )
    names = list(parts[0].trajectory)
    return Inversion(
        torch.cat([part.latents for part in parts]),
        torch.cat([part.images for part in parts]),
        torch.cat([part.start for part in parts]),
        {name: torch.cat([part.trajectory[name] for part in parts], dim=1) for name in names},
        queries=round(counted.queries / len(descriptors)),
    )


def _nothing() -> None:
    pass
