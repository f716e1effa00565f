"""Mean of w over the prior of z, estimated once and kept in the cache folder."""

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
#: Part of the cached file's name, so that another way of estimating makes another file.
_VERSION = "v1"


def mean_w(tensors: Mapping[str, Tensor], layers: int) -> Tensor:
    """Return the mean of w ``(w,)``, float64, read from the cache if it is there.

    Args:
        tensors: A generator's tensors; those of its mapping network are used.
        layers: Layers of the mapping network.

    Raises:
        StorageError: if the cache folder cannot be written.
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
    """Return the ``mean`` of w over :data:`SAMPLES` draws of z, which are always the same."""
    rng = torch.Generator().manual_seed(0)
    z_dim = mapping.get_buffer("weight0").shape[1]
    count, total = 0, torch.zeros(())
    shift = None
    while count < SAMPLES:
        w = mapping(torch.randn(_BATCH, z_dim, generator=rng)).double()
        # Sums of small differences round less than sums of w.
        shift = w.mean(0) if shift is None else shift
        count, total = count + len(w), total + (w - shift).sum(0)
    assert shift is not None
    return {"mean": total / count + shift}
