"""Is one long search better than several short ones among which another encoder chooses?

    python benchmarks/choose_among_starts.py PATH/TO/lfw --encoder dlib --validator sface --judge facenet

An attacker has no descriptor of the other encoder to compare with. As in ALSUV (Jung et al., "Face Reconstruction
Transfer Attack as Out-of-Distribution Generalization", ECCV 2024), the mean of its descriptors of all reconstructions
of a person stands in for it, and the reconstruction closest to the mean is taken. Both ways spend ``--steps``
image-steps.
For each judge, prints the mean cosine with another photograph of the person, and paired differences to the one long
search. ``PATH/TO/lfw`` holds ``lfw-deepfunneled/`` and ``pairsDevTrain.txt``; faces are assumed to be where the data
set declares them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from verification import Pair, aligned, read_pairs

import faceinv
from faceinv.models import FramedEncoder, Loader
from faceinv.plugins import Host
from faceinv.scoring.statistics import estimate, paired_difference
from faceinv.weights import WeightStore


def different_people(lfw: Path, count: int) -> list[Pair]:
    """Return one matched pair of each of the first ``count`` people."""
    by_person = {pair.first.parent: pair for pair in reversed(read_pairs(lfw, 1100)) if pair.same}
    return [by_person[person] for person in sorted(by_person)][:count]


def chosen(descriptors: Tensor, wanted: Tensor) -> Tensor:
    """Return for each person the index of the candidate, of ``(K, N, D)``, that is closest to ``(N, D)``."""
    return F.cosine_similarity(descriptors, wanted[None], dim=2).argmax(0)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lfw", type=Path)
    parser.add_argument("--encoder", required=True, help="attacked")
    parser.add_argument("--validator", required=True, help="chooses")
    parser.add_argument("--judge", action="append", required=True, help="may be repeated")
    parser.add_argument("--method", default="multi-start", help="one whose starts depend on the seed")
    parser.add_argument("--people", type=int, default=32)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--steps", type=int, default=100, help="in all")
    parser.add_argument("--pairs", type=int, default=3000)
    given = parser.parse_args()

    host = Host()
    loader = Loader(host, WeightStore(host, notify=print))
    names = list(dict.fromkeys([given.encoder, given.validator, *given.judge]))
    encoders = {name: loader.encoder(name) for name in names}
    framing = loader.generator("dcgan").framing
    framed = {name: FramedEncoder(encoder, framing) for name, encoder in encoders.items()}
    pairs = different_people(given.lfw, given.people)

    def photographs(name: str, paths: list[Path]) -> Tensor:
        found = aligned(paths, None, [encoders[name].spec.framing])
        return encoders[name](torch.stack([found[path][0] for path in paths]))

    def inverted(steps: int, seed: int) -> Tensor:
        choices = {"generator": "dcgan", "method": given.method, "pairs": given.pairs}
        found = faceinv.invert(
            leaked, encoder=given.encoder, losses=["id"], steps=steps, seed=seed, host=host, **choices
        )
        return found.images

    with torch.no_grad():
        leaked = photographs(given.encoder, [pair.first for pair in pairs])
        others = {name: photographs(name, [pair.second for pair in pairs]) for name in names}
    long = inverted(given.steps, 0)
    short = torch.stack([inverted(given.steps // given.starts, seed) for seed in range(given.starts)])
    with torch.no_grad():
        seen = {name: torch.stack([framed[name](images) for images in short]) for name in names}
        unit = F.normalize(seen[given.validator], dim=2)
        people = torch.arange(len(pairs))
        ways = {
            "one long search": long,
            "the first short one": short[0],
            "chosen by the attacked encoder": short[chosen(seen[given.encoder], leaked), people],
            "chosen by the validator": short[chosen(unit, unit.mean(0)), people],
        }
        scores = {
            name: {way: F.cosine_similarity(framed[name](images), others[name]) for way, images in ways.items()}
            for name in names
        }
    print(
        f"{given.encoder} attacked, {given.validator} validates, {given.method}, {len(pairs)} people, "
        f"{given.starts} searches of {given.steps // given.starts} or one of {given.steps} image-steps"
    )
    for name in names:
        for way, values in scores[name].items():
            mean = estimate(values)
            difference = paired_difference(values, scores[name]["one long search"])
            print(
                f"{name}: {way}: {mean.mean:.3f} [{mean.low:.3f}, {mean.high:.3f}], "
                f"difference {difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
            )


if __name__ == "__main__":
    main()
