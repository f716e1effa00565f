"""Mean of w over the prior of z, estimated once and cached."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from faceinv.storage import cache_folder, load_or_make
from faceinv_stylegan2.network import MappingNetwork

#: Samples of z: the mean's standard error is then 1/256 of w's standard deviation.
SAMPLES = 65_536
_BATCH = 4_096
#: Part of the cached file's name; change it together with the estimation.
_VERSION = "v1"


def mean_w(tensors: Mapping[str, Tensor], layers: int) -> Tensor:
    """Return the mean of w ``(w,)`` in float64, from the cache if possible.

    Args:
        tensors: Tensors of the generator; only those of the mapping network are used.
        layers: Number of layers of the mapping network.

    Raises:
        StorageError: if the cache folder cannot be written to.
    """
    digest = hashlib.sha256()
    names = [f"mapping.{i}.{part}" for i in range(layers) for part in ("weight", "bias")]
    for name in names:
        digest.update(f"{name}{tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    kept = cache_folder() / "stylegan2" / f"{digest.hexdigest()}.w-{_VERSION}.safetensors"
    return load_or_make(kept, lambda: estimate(MappingNetwork(tensors, layers)))["mean"]


@torch.no_grad()
def estimate(mapping: MappingNetwork) -> dict[str, Tensor]:
    """Return the ``mean`` of w over :data:`SAMPLES` fixed draws of z."""
    rng = torch.Generator().manual_seed(0)
    z_dim = mapping.get_buffer("weight0").shape[1]
    count, total = 0, torch.zeros(())
    shift = None
    while count < SAMPLES:
        w = mapping(torch.randn(_BATCH, z_dim, generator=rng)).double()
        # Summing differences from an approximate mean reduces rounding errors.
        shift = w.mean(0) if shift is None else shift
        count, total = count + len(w), total + (w - shift).sum(0)
    assert shift is not None
    return {"mean": total / count + shift}
