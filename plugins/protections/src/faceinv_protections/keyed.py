"""Random matrices drawn from a key."""

from __future__ import annotations

import torch
from torch import Tensor


def stream(key: int) -> torch.Generator:
    """Return the random stream of a key, on the CPU, so that templates are the same on every machine."""
    return torch.Generator("cpu").manual_seed(key % 2**63)


def gaussian(rows: int, columns: int, key: int) -> Tensor:
    """Return a matrix ``(rows, columns)`` of standard normal numbers."""
    return torch.randn(rows, columns, generator=stream(key), dtype=torch.float64)


def orthonormal(rows: int, columns: int, key: int) -> Tensor:
    """Return a matrix ``(rows, columns)`` with orthonormal rows, uniformly distributed (``rows ≤ columns``)."""
    factor, upper = torch.linalg.qr(gaussian(columns, rows, key))
    # Without the signs, the distribution would depend on how QR is computed.
    matrix: Tensor = (factor * upper.diagonal().sign()).T
    return matrix
