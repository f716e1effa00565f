"""How well encoders tell people apart on LFW, with photographs detected, aligned and embedded like targets.

    python benchmarks/verification.py PATH/TO/lfw --encoder facenet --encoder arcface

``PATH/TO/lfw`` holds ``lfw-deepfunneled/`` and ``pairsDevTrain.txt``. For each encoder, prints the accuracy at the
threshold that is best on these very pairs, the cross-validated accuracy (thresholds chosen on the other nine tenths)
with Wilson's 95 % interval, and the cosines of pairs of one person and of two. ``--pairs 1100`` takes all pairs.
``--through dcgan`` brings photographs into that generator's frame first, as an attack does; ``--declared`` assumes
faces to be where the data set lfw declares and detects none.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from faceinv_lfw.dataset import DEEP_FUNNELED
from torch import Tensor

from faceinv.contracts import Detector, Framing
from faceinv.data import read_image
from faceinv.data.alignment import align_photograph
from faceinv.errors import InputError
from faceinv.framing import view_between
from faceinv.models import FramedEncoder, Loader
from faceinv.models.loader import Encoder
from faceinv.plugins import Host
from faceinv.scoring import wilson
from faceinv.scoring.verification import best_threshold
from faceinv.weights import WeightStore

#: Images embedded at a time.
BATCH = 32


@dataclass(frozen=True)
class Pair:
    """Two photographs, and whether they show the same person."""

    first: Path
    second: Path
    same: bool


def read_pairs(lfw: Path, count: int, start: int = 0) -> list[Pair]:
    """Read ``count`` matched and ``count`` mismatched pairs of ``pairsDevTrain.txt``, each from ``start`` on.

    The first line of the file is their number N; then come N lines ``name i j``, then N lines ``name i name j``.
    """
    lines = (lfw / "pairsDevTrain.txt").read_text(encoding="utf-8").splitlines()
    half = int(lines[0])
    matched = [line.split() for line in lines[1 : half + 1]][start : start + count]
    mismatched = [line.split() for line in lines[half + 1 :]][start : start + count]

    def photograph(name: str, number: str) -> Path:
        return lfw / "lfw-deepfunneled" / name / f"{name}_{int(number):04d}.jpg"

    return [Pair(photograph(name, i), photograph(name, j), True) for name, i, j in matched] + [
        Pair(photograph(one, i), photograph(two, j), False) for one, i, two, j in mismatched
    ]


def aligned(paths: Iterable[Path], detector: Detector | None, framings: Sequence[Framing]) -> dict[Path, list[Tensor]]:
    """Return each photograph in all ``framings``, leaving out those in which no face is found.

    Without a detector, faces are assumed to be where the data set declares.
    """
    found: dict[Path, list[Tensor]] = {}
    views = [view_between(DEEP_FUNNELED, framing) for framing in framings]
    for path in paths:
        image = read_image(path)
        if detector is None:
            found[path] = [view(image) for view in views]
            continue
        faces = detector(image)
        try:
            found[path] = [align_photograph(image, lambda _, faces=faces: faces, framing) for framing in framings]
        except InputError:
            continue
    return found


@torch.no_grad()
def embed(encoder: Encoder | FramedEncoder, images: Sequence[Tensor]) -> Tensor:
    """Return descriptors of unit length, ``(B, D)``."""
    batches = [torch.stack(list(images[i : i + BATCH])) for i in range(0, len(images), BATCH)]
    return torch.nn.functional.normalize(torch.cat([encoder(batch) for batch in batches]), dim=1)


def cosines(pairs: Sequence[Pair], descriptors: dict[Path, Tensor]) -> tuple[Tensor, Tensor, int]:
    """Return the cosine of each pair, whether it shows one person, and the number of pairs without a face."""
    usable = [pair for pair in pairs if pair.first in descriptors and pair.second in descriptors]
    cosine = torch.stack([descriptors[pair.first] @ descriptors[pair.second] for pair in usable])
    return cosine, torch.tensor([pair.same for pair in usable]), len(pairs) - len(usable)


def cross_validated(cosine: Tensor, same: Tensor, folds: int = 10) -> float:
    """Return the accuracy when each fold's threshold is chosen on the others."""
    fold = torch.arange(len(cosine)) % folds
    right = 0
    for k in range(folds):
        threshold, _ = best_threshold(cosine[fold != k].numpy(), same[fold != k].numpy())
        right += int(((cosine[fold == k] > threshold) == same[fold == k]).sum())
    return right / len(cosine)


def verify(
    loader: Loader, pairs: Sequence[Pair], encoders: Sequence[str], through: str = "", declared: bool = False
) -> dict[str, tuple[Tensor, Tensor, int]]:
    """Return :func:`cosines` for each encoder; faces are detected once per photograph.

    Args:
        loader: Builds the networks.
        pairs: The photographs to compare.
        encoders: Names of the encoders.
        through: A generator into whose frame photographs are brought first, or empty.
        declared: Whether faces are assumed to be where the data set declares.
    """
    built = [loader.encoder(name) for name in encoders]
    paths = sorted({path for pair in pairs for path in (pair.first, pair.second)})
    detector = None if declared else loader.detector("mtcnn")
    networks: list[Encoder | FramedEncoder] = list(built)
    framings = [encoder.spec.framing for encoder in built]
    if through:
        framing = loader.generator(through).framing
        networks = [FramedEncoder(encoder, framing) for encoder in built]
        framings = [framing] * len(built)
    images = aligned(paths, detector, framings)
    results = {}
    for k, (name, network) in enumerate(zip(encoders, networks, strict=True)):
        descriptors = embed(network, [crops[k] for crops in images.values()])
        results[name] = cosines(pairs, dict(zip(images, descriptors, strict=True)))
    return results


def main() -> None:
    """Print one line per encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lfw", type=Path)
    parser.add_argument("--encoder", action="append", help="may be repeated; default: facenet and arcface")
    parser.add_argument("--pairs", type=int, default=200, help="matched pairs, and as many mismatched ones")
    parser.add_argument("--start", type=int, default=0, help="the first pair of each kind")
    parser.add_argument("--through", default="", help="bring photographs into the frame of this generator first")
    parser.add_argument("--declared", action="store_true", help="do not detect faces")
    given = parser.parse_args()
    host = Host()
    loader = Loader(host, WeightStore(host, notify=print))
    encoders = given.encoder or ["facenet", "arcface"]
    pairs = read_pairs(given.lfw, given.pairs, given.start)
    for name, (cosine, same, missing) in verify(loader, pairs, encoders, given.through, given.declared).items():
        threshold, accuracy = best_threshold(cosine.numpy(), same.numpy())
        chosen = cross_validated(cosine, same)
        around = wilson(round(chosen * len(cosine)), len(cosine))
        print(
            f"{name}: {len(cosine)} pairs ({missing} without a face), best {accuracy:.2%} at {threshold:.3f}, "
            f"cross-validated {chosen:.2%} [{around.low:.2%}, {around.high:.2%}], "
            f"same person {cosine[same].mean():.3f} ± {cosine[same].std():.3f}, "
            f"two {cosine[~same].mean():.3f} ± {cosine[~same].std():.3f}"
        )


if __name__ == "__main__":
    main()
