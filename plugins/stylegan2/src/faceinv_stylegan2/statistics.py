"""Mean and covariance of w over the prior of z, estimated once and kept in the cache folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from faceinv.storage import cache_folder, load_or_make
from faceinv_stylegan2.network import MappingNetwork

#: Samples of z: with 512 dimensions the covariance's eigenvalues are then within some 9 %.
SAMPLES = 65_536
_BATCH = 4_096
#: Part of the cached file's name, so that another way of estimating makes another file.
_VERSION = "v1"


def w_statistics(tensors: Mapping[str, Tensor], layers: int) -> tuple[Tensor, Tensor]:
    """Return mean ``(w,)`` and covariance ``(w, w)`` of w, float64, from the cache where they are there.

    Args:
        tensors: A generator's, of which those of the mapping network are used.
        layers: Layers of the mapping network.

    Raises:
        StorageError: the cache folder cannot be written.
    """
    digest = hashlib.sha256()
    names = [f"mapping.{i}.{part}" for i in range(layers) for part in ("weight", "bias")]
    for name in names:
        digest.update(f"{name}{tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    kept = cache_folder() / "stylegan2" / f"{digest.hexdigest()}.w-{_VERSION}.safetensors"
    found = load_or_make(kept, lambda: estimate(MappingNetwork(tensors, layers)))
    return found["mean"], found["covariance"]


@torch.no_grad()
def estimate(mapping: MappingNetwork) -> dict[str, Tensor]:
    """Return ``mean`` and ``covariance`` of w over :data:`SAMPLES` draws of z, which are always the same."""
    rng = torch.Generator().manual_seed(0)
    z_dim = mapping.get_buffer("weight0").shape[1]
    count, total, products = 0, torch.zeros(()), torch.zeros(())
    shift = None
    while count < SAMPLES:
        w = mapping(torch.randn(_BATCH, z_dim, generator=rng)).double()
        # Taking off something near the mean keeps the sum of squares from cancelling.
        shift = w.mean(0) if shift is None else shift
        w = w - shift
        count, total, products = count + len(w), total + w.sum(0), products + w.T @ w
    assert shift is not None
    mean = total / count
    return {"mean": mean + shift, "covariance": products / count - torch.outer(mean, mean)}
