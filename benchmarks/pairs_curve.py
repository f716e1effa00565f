"""How many pairs are enough: what is read from descriptors, and what is reconstructed, after training on n pairs.

    python benchmarks/pairs_curve.py arcface --pairs 1000 2500 5000 10000 20000
    python benchmarks/pairs_curve.py arcface --pairs 5000 20000 --targets 32

Each n takes the first n of the same pairs, which are embedded once and kept in the cache. Errors are those on the last
4,000 pairs, which no n trains on. With ``--targets``, that many further samples are inverted with the losses id, lm and
hist; scores are given as differences from the last n, target by target. Intervals are 95 % bootstrap.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from faceinv.attack.engine import invert
from faceinv.attack.objective import prepared_objective
from faceinv.attack.pairs import Pairs
from faceinv.attack.preparation import Preparation
from faceinv.data.images import rounded
from faceinv.models.loader import FramedEncoder, Loader
from faceinv.plugins.host import Host
from faceinv.plugins.registry import load_target
from faceinv.scoring.statistics import Estimate, estimate, paired_difference
from faceinv.storage.cache import cache_folder
from faceinv.storage.hashing import seed_of
from faceinv.storage.tensors import TensorCache
from faceinv.weights.store import WeightStore

PROBES = ("landmarks", "histogram")
HELD, STEPS = 4000, 100
#: Pairs have seed 0.
TARGETS_SEED = 2


class First(Preparation):
    """What is trained on the first ``n`` pairs of ``whole``."""

    def __init__(self, whole: Preparation, encoder: str, n: int, folder: Path) -> None:
        super().__init__(
            whole.loader, encoder, "dcgan", "", pairs=n, preset="tuned", cache=TensorCache(folder), probes=PROBES
        )
        self._whole = whole

    @cached_property
    def pairs(self) -> Pairs:
        return Pairs(self._whole.pairs.latents[: self._n], self._whole.pairs.descriptors[: self._n])

    def labels(self, name: str) -> Tensor:
        return self._whole.labels(name)[: self._n]


def prepared(loader: Loader, encoder: str, n: int) -> Preparation:
    """Return the preparation with ``n`` pairs, kept in the cache."""
    cache = TensorCache(cache_folder() / "trained")
    return Preparation(loader, encoder, "dcgan", "", pairs=n, preset="tuned", cache=cache, probes=PROBES, progress=told)


def told(what: str, done: int, of: int) -> None:
    if done % 6400 == 0 and what == "embedding samples":
        print(f"{what}: {done} of {of}", flush=True)


def trained(made: Preparation) -> list[float]:
    """Train readers and regressor; return the processor time of each in seconds, without that of other programs."""
    jobs = [*(partial(made.reader, name) for name in PROBES), partial(made.regressor, PROBES)]
    moments = [time.process_time()]
    for job in jobs:
        job()
        moments.append(time.process_time())
    return [after - before for before, after in pairwise(moments)]


def errors(made: Preparation, whole: Preparation) -> dict[str, Tensor]:
    """Return each held-out sample's errors ``(N,)``, by what is read; of latents in units of their variance."""
    descriptors, latents = whole.pairs.descriptors[-HELD:], whole.pairs.latents[-HELD:]
    found = {name: made.probe(name).error(made.read(name, descriptors), whole.labels(name)[-HELD:]) for name in PROBES}
    with torch.inference_mode():
        read = made.regressor(PROBES)(descriptors)
    return found | {"latent": (read - latents).square().flatten(1).mean(1) / latents.var()}


def scores(made: Preparation, critic: FramedEncoder, targets: int) -> dict[str, Tensor]:
    """Invert samples and return the scores ``(N,)`` of the starts and of the reconstructions."""
    network, host = made.generator.network, made.loader.host
    with torch.inference_mode():
        rng = torch.Generator().manual_seed(seed_of(f"targets {TARGETS_SEED}"))
        images = rounded(network(network.sample(targets, made.space, rng), made.space))
        descriptors, wanted = made.encoder(images), critic(images)
    spec = host.spec("method", "latent-adam")
    found = invert(
        load_target(spec)(),
        descriptors.clone(),
        encode=made.encoder,
        access=spec.access,
        generator=network,
        space=made.space,
        objective=prepared_objective(made, [host.spec("loss", name) for name in ("id", "lm", "hist")], "balanced", {}),
        start=made.regressor(PROBES),
        steps=STEPS,
        seeds=[seed_of(str(row)) for row in range(targets)],
        batch_size=made.batch_size(),
    )
    judge = made.loader.metric("landmark_error", made.generator.framing).landmarks
    histogram, landmarks = made.probe("histogram"), made.probe("landmarks")
    with torch.inference_mode():
        start, result = rounded(found.start), rounded(found.images)
        return {
            "critic cosine of the start": torch.cosine_similarity(critic(start), wanted),
            "critic cosine": torch.cosine_similarity(critic(result), wanted),
            "landmark error, %": landmarks.error(judge(result), judge(images)),
            "EMD": histogram.error(histogram.label(result), histogram.label(images)),
        }


def shown(found: Estimate, sign: str = "") -> str:
    return f"{found.mean:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    for row in (head, ("---",) * len(head), *rows):
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder")
    parser.add_argument("--pairs", type=int, nargs="+", default=[1000, 2500, 5000, 10000, 20000])
    parser.add_argument("--targets", type=int, default=0)
    given = parser.parse_args()
    host = Host()
    loader = Loader(host, WeightStore(host))
    whole = prepared(loader, given.encoder, max(given.pairs) + HELD)
    critic = FramedEncoder(
        loader.encoder("facenet" if given.encoder == "arcface" else "arcface"), whole.generator.framing
    )
    rows, scored = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for n in given.pairs:
            made = First(whole, given.encoder, n, Path(folder))
            seconds = trained(made)
            found = [shown(estimate(values.numpy())) for values in errors(made, whole).values()]
            rows.append((f"{n:,}", *found, *(f"{value:.1f}" for value in seconds)))
            if given.targets:
                scored[n] = scores(made, critic, given.targets)
    took = ("landmarks, s", "histogram, s", "latents, s")
    table(("pairs", "landmarks, %", "histogram, EMD", "latent, share of variance", *took), rows)
    if given.targets:
        last = scored[given.pairs[-1]]
        print(f"\n{given.targets} targets, {STEPS} steps; below, differences from {given.pairs[-1]:,} pairs\n")
        first = (f"{given.pairs[-1]:,}", *(shown(estimate(values.numpy())) for values in last.values()))
        differences = [
            (f"{n:,}", *(shown(paired_difference(own[name].numpy(), last[name].numpy()), "+") for name in last))
            for n, own in scored.items()
            if own is not last
        ]
        table(("pairs", *last), [first, *differences])


if __name__ == "__main__":
    main()
