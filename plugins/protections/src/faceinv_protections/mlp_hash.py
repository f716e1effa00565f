"""MLP-Hash: a multi-layer perceptron whose weights the key draws, and signs of its output (arXiv 2204.11054)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from faceinv.attack import by_descent, from_pairs
from faceinv.contracts import Leak, Protection, ProtectionContext, Recovered, hamming_scores
from faceinv_protections.keyed import orthonormal

#: Steepness of the logistic function, in units of the usual length of an output.
_SHARPNESS = 3.0


class MLPHash(Protection):
    """Layers of orthonormal weights from the key, each but the last followed by a sigmoid; the output is binarised.

    A sigmoid of numbers of length 1 / √D would be linear, so a layer's input is scaled to numbers of length 1, and the
    mean of the sigmoid, one half, is subtracted. The paper leaves the scale open.

    Args:
        context: Length of a descriptor.
        bits: Bits of a template, at most ``D``.
        layers: Hidden layers, of ``D`` units each.
    """

    def __init__(self, context: ProtectionContext, *, bits: int = 128, layers: int = 2) -> None:
        self._dim, self._bits, self._layers = context.dim, bits, layers

    def _weights(self, key: int) -> list[Tensor]:
        """Return the weights of each layer, the hidden ones ``(D, D)`` and the last ``(bits, D)``."""
        rows = [self._dim] * self._layers + [self._bits]
        return [orthonormal(size, self._dim, key + place) for place, size in enumerate(rows)]

    def _output(self, descriptors: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Return the output ``(N, bits)`` before it is binarised, of lengths about 1 / √D."""
        passed = descriptors.double()
        for matrix in weights[:-1]:
            passed = F.normalize((F.normalize(passed) * self._dim**0.5 @ matrix.T).sigmoid() - 0.5)
        return passed @ weights[-1].T

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the bits ``(N, bits)``."""
        return (self._output(descriptors, self._weights(key)) > 0).float()

    def compare(self, stored: Tensor, presented: Tensor) -> Tensor:
        """Return the share of equal bits."""
        return hamming_scores(stored, presented)

    def recover(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Return the most likely descriptors given the bits, by gradients through the network."""
        networks = {leak.key: self._weights(leak.key) for leak in leaks}

        def misfit(found: Tensor, templates: Tensor, key: int) -> Tensor:
            margins = (2 * templates - 1) * self._output(found, networks[key]) * _SHARPNESS * self._dim**0.5
            return F.softplus(-margins).sum(1)

        starts = [from_pairs(self.protect(prior, leak.key), prior, leak.templates).descriptors for leak in leaks]
        return by_descent(misfit, leaks, prior, "the logistic loss of the bits through the network", starts=starts)
