"""Networks replayed from a graph; what captures them is replaced by a function with the same static memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from faceinv.errors import PluginError
from faceinv.models.graphs import graphed

LATENTS = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


class Replay(torch.autograd.Function):
    """A function that writes its result into the same memory every time, and keeps its input there."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, function: Callable[[Tensor], Tensor], memory: list[Tensor]) -> Tensor:
        ctx.function, ctx.memory = function, memory
        memory[0].copy_(given)
        memory[1].copy_(function(memory[0]))
        return memory[1].detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        with torch.enable_grad():
            leaf = ctx.memory[0].detach().requires_grad_()
            return torch.autograd.grad(ctx.function(leaf), leaf, gradient)[0], None, None


def capture(functions: Any, examples: Any) -> Any:
    memories = [
        [example[0].detach().clone(), function(example[0].detach())]
        for function, example in zip(functions, examples, strict=True)
    ]
    return tuple(
        lambda given, function=function, memory=memory: Replay.apply(given, function, memory)
        for function, memory in zip(functions, memories, strict=True)
    )


PLAIN = (lambda latents: latents.sin().repeat(1, 2), lambda images: images.square() + images)


def test_replays_give_results_and_gradients_that_stay() -> None:
    generate, encode = graphed(PLAIN, LATENTS, capture)
    kept = []
    for scale in (1.0, 2.0):
        leaf = (LATENTS * scale).requires_grad_()
        images = generate(leaf)
        descriptors = encode(images)
        (gradient,) = torch.autograd.grad(descriptors.sum(), leaf)
        kept.append((images, descriptors, gradient))
    for scale, (images, descriptors, gradient) in zip((1.0, 2.0), kept, strict=True):
        leaf = (LATENTS * scale).requires_grad_()
        expected = PLAIN[0](leaf)
        assert torch.equal(images, expected)
        assert torch.equal(descriptors, PLAIN[1](expected))
        assert torch.equal(gradient, torch.autograd.grad(PLAIN[1](expected).sum(), leaf)[0])


def test_the_gradient_of_an_earlier_result_is_refused() -> None:
    generate, _ = graphed(PLAIN, LATENTS, capture)
    leaf = LATENTS.clone().requires_grad_()
    first = generate(leaf)
    generate(leaf)
    with pytest.raises(PluginError, match="only the last result"):
        torch.autograd.grad(first.sum(), leaf)


def test_other_inputs_are_computed_without_the_graph() -> None:
    generate, _ = graphed(PLAIN, LATENTS, capture)
    leaf = LATENTS.clone().requires_grad_()
    result = generate(leaf)
    with torch.no_grad():
        generate(leaf)
    generate(LATENTS)
    generate(leaf[:2])
    torch.autograd.grad(result.sum(), leaf)


def test_a_graph_needs_a_cuda_device(run: Any, cache: Path, tmp_path: Path) -> None:
    result = run("bench", "--encoder", "toy", "--generator", "toy-faces", "--cuda-graph", "--out", tmp_path)
    assert result.code == 2
    assert "--cuda-graph needs a CUDA device" in result.err
