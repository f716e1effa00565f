"""Adam for searches: without the import of PyTorch's compiler, and for targets that leave the batch."""

from __future__ import annotations

import torch
from torch import Tensor


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1, with its defaults) on one tensor, whose rows can leave.

    Its numbers are those of :class:`torch.optim.Adam` on a CPU, bit by bit. That class imports the compiler at its
    first use, which takes longer than several steps of a search.

    Args:
        values: ``(B, *shape)``, changed in place; may require a gradient.
        learning_rate: Step size.
    """

    _BETAS, _EPSILON = (0.9, 0.999), 1e-8

    def __init__(self, values: Tensor, learning_rate: float) -> None:
        self.values = values
        self._rate = learning_rate
        self._first, self._second = torch.zeros_like(values.detach()), torch.zeros_like(values.detach())
        self._steps = 0

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Take a step, given the gradient ``(B, *shape)`` at the values."""
        self._steps += 1
        first, second = self._BETAS
        self._first.lerp_(gradient, 1 - first)
        self._second.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        root = (self._second.sqrt() / (1 - second**self._steps) ** 0.5).add_(self._EPSILON)
        self.values.addcdiv_(self._first, root, value=-self._rate / (1 - first**self._steps))

    def keep(self, places: Tensor) -> Tensor:
        """Reduce values and moments to the rows ``places`` ``(K,)``; return the values, a new tensor."""
        self.values = self.values.detach()[places].requires_grad_(self.values.requires_grad)
        self._first, self._second = self._first[places], self._second[places]
        return self.values
