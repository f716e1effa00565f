"""Networks replayed from a CUDA graph: one launch for a whole pass, instead of one for each of its operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from faceinv.errors import PluginError

Function = Callable[[Tensor], Tensor]


class Graphed:
    """A function whose passes, forward and backward, are replayed for inputs of one shape that require gradients.

    Other inputs, such as a smaller batch, are computed by the function itself. A replay overwrites what the previous
    one kept for its gradient, so only the last result can be differentiated.

    Args:
        function: The function itself.
        captured: The same captured in a graph.
        shape: Shape of the captured input.
    """

    def __init__(self, function: Function, captured: Function, shape: torch.Size) -> None:
        self._function, self._captured, self._shape = function, captured, shape
        self._replays = 0

    def __call__(self, given: Tensor) -> Tensor:
        """Return the function's result.

        Raises:
            PluginError: in the backward pass, if the function was called again after this call.
        """
        if given.shape != self._shape or not (torch.is_grad_enabled() and given.requires_grad):
            return self._function(given)
        self._replays += 1
        replay = self._replays

        def check(gradient: Tensor) -> None:
            if replay != self._replays:
                raise PluginError(
                    "With --cuda-graph, only the last result of a network can be differentiated: a method takes the "
                    "gradient before it calls generator or encoder again. Run it without --cuda-graph."
                )

        # A copy: the next replay writes into the same memory.
        result = self._captured(given).clone()
        if result.requires_grad:
            result.register_hook(check)
        return result


def graphed(
    functions: tuple[Function, Function],
    latents: Tensor,
    capture: Callable[..., Any] = torch.cuda.make_graphed_callables,
) -> tuple[Function, Function]:
    """Return generator and encoder captured for one batch.

    Args:
        functions: Latents to images, and images to descriptors.
        latents: Latents of the batch, on a CUDA device.
        capture: What captures functions, given them and an example of each one's input.

    Raises:
        RuntimeError: if the networks cannot be captured, for example because they synchronise with the device.
    """
    with torch.no_grad():
        images = functions[0](latents)
    examples = tuple(example.detach().clone().requires_grad_() for example in (latents, images))
    made = capture(functions, tuple((example,) for example in examples))
    first, second = (
        Graphed(function, captured, example.shape)
        for function, captured, example in zip(functions, made, examples, strict=True)
    )
    return first, second
