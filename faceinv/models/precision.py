"""Networks as a command asks for them: in which precision, and compiled or not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from faceinv.contracts.networks import Generator
from faceinv.hardware import has_bf16_units


class StepGenerator(Generator):
    """A generator whose images are computed in another precision, or by a compiled function.

    Args:
        generator: The generator.
        forward: What computes its images ``(B, 3, H, W)`` from latents and space.
    """

    def __init__(self, generator: Generator, forward: Callable[[Tensor, str], Tensor]) -> None:
        super().__init__()
        self._generator, self._forward = generator, forward

    def latent_shape(self, space: str) -> tuple[int, ...]:
        """Return the generator's own."""
        return self._generator.latent_shape(space)

    def sample(self, n: int, space: str, rng: torch.Generator) -> Tensor:
        """Draw the generator's own samples."""
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
    gradients: bool = True,
    say: Callable[[str], None],
) -> tuple[Generator, Callable[[Tensor], Tensor]]:
    """Return generator and encoder for the steps of a search; results are ``float32`` either way.

    Args:
        generator: The face prior.
        encode: Images in its framing to descriptors.
        precision: ``"fp32"``, or ``"bf16"``: convolutions and products in it, by autocast.
        compiled: Whether torch.compile makes them; if it cannot, they stay as they are.
        example: Latents ``(B, *latent_shape)`` of a whole batch.
        space: Latent space.
        gradients: Whether the encoder gives gradients; a black box does not.
        say: Called with a line where the choice does not pay here, or cannot be had.
    """
    functions = _lowered([generator, encode], precision, example.device.type, say)

    def step(generate: Callable[..., Tensor], encode: Callable[..., Tensor]) -> None:
        latents = example.detach().clone().requires_grad_(gradients)
        descriptors = encode(generate(latents, space))
        if gradients:
            torch.autograd.grad(descriptors.sum(), latents)

    if compiled:
        functions = _compiled(functions, step, say)
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
    """Return an encoder for many batches without a gradient; descriptors are ``float32`` either way.

    Args:
        encode: Crops ``(B, 3, h, w)`` to descriptors.
        precision: ``"fp32"``, or ``"bf16"``: convolutions and products in it, by autocast.
        compiled: Whether torch.compile makes it, for batches in the shape of ``example``; if it cannot, and for
            others, such as the last, it stays as it is.
        example: A whole batch.
        say: Called with a line where the choice does not pay here, or cannot be had.
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
        say("This processor is not known to have bf16 units: without them, --precision bf16 is slower than fp32.")
    return [in_bf16(function, device) for function in functions]


def _compiled(
    functions: list[Callable[..., Tensor]], run: Callable[..., None], say: Callable[[str], None]
) -> list[Callable[..., Tensor]]:
    """Return compiled functions, or those given and say so, if ``run``, which calls them, fails."""
    made = [torch.compile(function) for function in functions]
    try:
        with warnings.catch_warnings():
            # What torch says of its own doing while it traces.
            warnings.simplefilter("ignore")
            run(*made)
    except Exception as error:  # whatever the compiler, its tools or the networks raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        say(f"torch.compile failed, going on without it: {reason}")
        return functions
    return made


def in_bf16(function: Callable[..., Tensor], device: str = "cpu") -> Callable[..., Tensor]:
    """Return ``function`` with its convolutions and products in bf16 by autocast, and a result in ``float32``."""

    def lowered(*given: Any) -> Tensor:
        with torch.autocast(device, torch.bfloat16):
            return function(*given).float()

    return lowered
