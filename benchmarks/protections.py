"""Descriptors recovered from protected templates of held-out samples, by the attack of each scheme; without pictures.

    python benchmarks/protections.py --samples 4000 --targets 16

The last samples are the targets, the others the attacker's prior and what schemes learn from. All targets have one key.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch.nn.functional import cosine_similarity, normalize

from faceinv.attack.preparation import Preparation
from faceinv.bench.setup import Setup, make_loader
from faceinv.contracts import Leak, Protection, ProtectionContext
from faceinv.plugins.protections import parse_protection
from faceinv.storage.cache import cache_folder
from faceinv.storage.tensors import TensorCache

SCHEMES = (
    *(f"random-projection:dims={dims}" for dims in (24, 48, 96)),
    *(f"truncate:dims={dims}" for dims in (24, 64)),
    *(f"quantise:bits={bits}" for bits in (1, 2)),
    *(f"noise:sigma={sigma}" for sigma in (0.5, 1, 2)),
    "negative:levels=4",
    *(f"biohash:bits={bits}" for bits in (48, 96, 192)),
    *(f"iom:hashes={hashes}" for hashes in (32, 128)),
    "mlp-hash:bits=128",
    *(f"polyprotect:overlap={overlap}" for overlap in (0, 2, 4)),
)


def main() -> None:
    """Print a row for each scheme."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="arcface")
    parser.add_argument("--generator", default="dcgan")
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--targets", type=int, default=16)
    given = parser.parse_args()
    host = Setup().host()
    loader = make_loader(host, Setup().store(host))
    cache = TensorCache(cache_folder() / "trained", print)
    preparation = Preparation(
        loader, given.encoder, given.generator, "", pairs=given.samples, preset="tuned", cache=cache
    )  # fmt: skip
    every = normalize(preparation.pairs.descriptors)
    prior, leaked = every[: -given.targets], every[-given.targets :]
    torch.set_num_threads(1)
    print(f"{'scheme':32} cosine  least  accepted score  seconds a target  (n {len(leaked)}, prior {len(prior)})")
    for text in SCHEMES:
        found = parse_protection(text, every.shape[1], host)
        assert found is not None, "every scheme protects"
        context = ProtectionContext(every.shape[1], 0, lambda: prior, lambda name: prior[:, :1])
        protection: Protection = host.build(found[0], context, **found[1])
        templates, began = protection.protect(leaked, 1), time.perf_counter()
        recovered = normalize(protection.recover([Leak(templates, 1)], prior).descriptors.float())
        seconds = (time.perf_counter() - began) / len(leaked)
        cosines = cosine_similarity(recovered, leaked)
        score = protection.compare(templates, protection.present(recovered, 1)).diagonal().mean()
        print(f"{text:32} {cosines.mean():6.3f} {cosines.min():6.3f} {score:15.3f} {seconds:17.2f}", flush=True)


if __name__ == "__main__":
    main()
