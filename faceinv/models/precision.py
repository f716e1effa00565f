"""Networks in lower precision, or compiled."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from faceinv.contracts.networks import Generator
from faceinv.hardware import has_bf16_units
from faceinv.models.graphs import graphed


class StepGenerator(Generator):
    """A generator whose images are computed in another precision or by a compiled function.

    Args:
        generator: The generator.
        forward: Computes its images ``(B, 3, H, W)`` from latents and space.
    """

    def __init__(self, generator: Generator, forward: Callable[[Tensor, str], Tensor]) -> None:
        super().__init__()
        self._generator, self._forward = generator, forward

    def latent_shape(self, space: str) -> tuple[int, ...]:
        """Return the generator's latent shape."""
        return self._generator.latent_shape(space)

    def sample(self, n: int, space: str, rng: torch.Generator) -> Tensor:
        """Return samples of the generator."""
        return self._generator.sample(n, space, rng)

    def forward(self, latents: Tensor, space: str) -> Tensor:
        """Return images ``(B, 3, H, W)``."""
        return self._forward(latents, space)


def step_networks(
    generator: Generator,
    encode: Callable[[Tensor], Tensor],
    *,
    precision: str,
    compiled: bool,
    example: Tensor,
    space: str,
    cuda_graph: bool = False,
    gradients: bool = True,
    say: Callable[[str], None],
) -> tuple[Generator, Callable[[Tensor], Tensor]]:
    """Return generator and encoder for the steps of a search; their results are ``float32`` in any case.

    Args:
        generator: The face prior.
        encode: Maps images in its framing to descriptors.
        precision: ``"fp32"``, or ``"bf16"`` for convolutions and products in bf16 by autocast.
        compiled: Compile both with torch.compile; if that fails, they stay as they are.
        example: Latents ``(B, *latent_shape)`` of a whole batch.
        space: Latent space.
        cuda_graph: Replay both from a CUDA graph for batches in the shape of ``example``.
        gradients: True if the encoder gives gradients; a black box does not.
        say: Called with a line if the choice is slow on this machine, or fails.
    """
    functions = _lowered([generator, encode], precision, example.device.type, say)

    def step(generate: Callable[..., Tensor], encode: Callable[..., Tensor]) -> None:
        latents = example.detach().clone().requires_grad_(gradients)
        descriptors = encode(generate(latents, space))
        if gradients:
            torch.autograd.grad(descriptors.sum(), latents)

    if compiled:
        functions = _compiled(functions, step, say)
    if cuda_graph and gradients:
        generate = functions[0]
        replayed = graphed((lambda latents: generate(latents, space), functions[1]), example)
        return StepGenerator(generator, lambda latents, _: replayed[0](latents)), replayed[1]
    if functions == [generator, encode]:
        return generator, encode
    return StepGenerator(generator, functions[0]), functions[1]


def bulk_encoder(
    encode: Callable[[Tensor], Tensor],
    *,
    precision: str,
    compiled: bool,
    example: Tensor,
    say: Callable[[str], None],
) -> Callable[[Tensor], Tensor]:
    """Return an encoder for many batches without gradients; its descriptors are ``float32`` in any case.

    Args:
        encode: Maps crops ``(B, 3, h, w)`` to descriptors.
        precision: ``"fp32"``, or ``"bf16"`` for convolutions and products in bf16 by autocast.
        compiled: Compile it with torch.compile for batches of the shape of ``example``. If that fails, and for other
            batches such as the last one, it stays as it is.
        example: A whole batch.
        say: Called with a line if the choice is slow on this machine, or fails.
    """
    (function,) = _lowered([encode], precision, example.device.type, say)
    if not compiled:
        return function

    def once(encode: Callable[..., Tensor]) -> None:
        with torch.inference_mode():
            encode(example)

    (made,) = _compiled([function], once, say)
    return lambda crops: (made if crops.shape == example.shape else function)(crops)


def _lowered(
    functions: list[Callable[..., Tensor]], precision: str, device: str, say: Callable[[str], None]
) -> list[Callable[..., Tensor]]:
    if precision != "bf16":
        return functions
    if device == "cpu" and not has_bf16_units():
        say("This processor is not known to have bf16 units; without them, --precision bf16 is slower than fp32.")
    return [in_bf16(function, device) for function in functions]


def _compiled(
    functions: list[Callable[..., Tensor]], run: Callable[..., None], say: Callable[[str], None]
) -> list[Callable[..., Tensor]]:
    """Return compiled functions; if ``run``, which calls them, fails, report it and return the given ones."""
    made = [torch.compile(function) for function in functions]
    try:
        with warnings.catch_warnings():
            # torch warns about its own tracing.
            warnings.simplefilter("ignore")
            run(*made)
    except Exception as error:  # whatever the compiler, its tools or the networks raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        say(f"torch.compile failed, continuing without it: {reason}")
        return functions
    return made


def in_bf16(function: Callable[..., Tensor], device: str = "cpu") -> Callable[..., Tensor]:
    """Return ``function`` with convolutions and products in bf16 by autocast, and its result in ``float32``."""

    def lowered(*given: Any) -> Tensor:
        with torch.autocast(device, torch.bfloat16):
            return function(*given).float()

    return lowered
