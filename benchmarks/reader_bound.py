"""What could the landmark and histogram losses gain at most? The reader's own error, next to that of the pictures.

For each finished cell of runs on one set of targets: errors of the attributes that were read from the descriptors, of
the start (the regressor's picture) and of the result, and the paired difference of each result to that of the cell
with the fewest losses. A loss cannot pull a picture closer to its target than the reading is, other than by chance.
And what a histogram loss could do to the pixels of that cell at best: its colours are mapped, channel by channel, so
that its histograms become those of the target, or those that were read.

    faceinv bench --losses id,lm,hist --ablate --limit 64 --seed 5 --steps 100 --out runs/dev
    python benchmarks/reader_bound.py runs/dev
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from faceinv_histogram.probe import earth_movers_distance, hard_histogram
from faceinv_landmarks.networks import load_network
from faceinv_landmarks.probe import FramedLandmarks, interocular_error
from torch import Tensor

from faceinv.data import read_image
from faceinv.plugins import Host
from faceinv.report.runs import Column, read_runs
from faceinv.scoring.statistics import paired_difference
from faceinv.weights import WeightStore

Array = npt.NDArray[np.float64]


def pictures(column: Column, what: str) -> Tensor:
    """Return the pictures of a cell, ``(N, 3, H, W)``: its results, ``"target"`` or ``"start"``."""
    files = [column.picture(index, what) for index in range(column.record.n)]
    return torch.stack([read_image(file) for file in files if file])


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each picture in dB, ``(N,)``."""
    return -10 * (images - targets).square().flatten(1).mean(1).log10()


def errors(column: Column, landmarks: Callable[[Tensor], Tensor]) -> dict[tuple[str, str], Array]:
    """Return the error of each target by (score, what was compared with the target)."""
    target = pictures(column, "target")
    read = {name: torch.from_numpy(own) for name, own in column.folder.read_attributes(column.id).items()}
    found: dict[tuple[str, str], Tensor] = {}
    if "histogram" in read:
        found["EMD, bins", "read"] = earth_movers_distance(read["histogram"], hard_histogram(target))
    if "landmarks" in read:
        found["landmarks, %", "read"] = interocular_error(read["landmarks"], landmarks(target))
    for what, name in (("start", "start"), ("", "result")):
        images = pictures(column, what)
        found["EMD, bins", name] = earth_movers_distance(hard_histogram(images), hard_histogram(target))
        found["landmarks, %", name] = interocular_error(landmarks(images), landmarks(target))
        found["PSNR, dB", name] = psnr(images, target)
    return {key: value.double().numpy() for key, value in found.items()}


def recoloured(images: Tensor, histograms: Tensor) -> Tensor:
    """Return images ``(N, 3, H, W)`` with their colours mapped so that they have ``histograms`` ``(N, 3, bins)``."""
    edges, mapped = np.linspace(0, 1, histograms.shape[2] + 1), images.clone()
    for place in np.ndindex(tuple(images.shape[:2])):
        values = images[place].flatten().numpy()
        ranks = np.empty(len(values))
        ranks[values.argsort(kind="stable")] = (np.arange(len(values)) + 0.5) / len(values)
        below = np.concatenate([[0.0], histograms[place].double().cumsum(0).numpy()])
        # Empty bins would make the inverse ambiguous.
        quantiles = np.interp(ranks, below / below[-1] + np.arange(len(below)) * 1e-9, edges)
        mapped[place] = torch.from_numpy(quantiles).view(images.shape[2:]).to(images)
    return mapped


def print_recolouring(column: Column, read: Tensor) -> None:
    """Print what the colours of the target, and those that were read, would do to the pixels of a cell."""
    images, target = pictures(column, "")[: len(read)], pictures(column, "target")[: len(read)]
    plain = psnr(images, target).double().numpy()
    print(f"\n| colours of '{column.losses}', n = {len(read)} | PSNR, dB | EMD, bins |\n| --- | ---: | ---: |")
    for name, histograms in (("of the target", hard_histogram(target)), ("as read", read)):
        whole = recoloured(images, histograms)
        for share, made in (("", whole), ("half way to those ", (images + whole) / 2)):
            gain = paired_difference(psnr(made, target).double().numpy(), plain)
            left = earth_movers_distance(hard_histogram(made), hard_histogram(target)).mean()
            print(f"| {share}{name} | {gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}] | {left:.2f} |")


@torch.no_grad()
def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    runs, host = read_runs(parser.parse_args().runs), Host()
    columns = sorted(runs.cells, key=lambda column: len(column.config.losses))
    judge = load_network("judge", WeightStore(host).path("landmarks/judge"))
    landmarks = FramedLandmarks(judge, host.spec("generator", columns[0].config.generator).framing)
    print("| cell | n | score | read | start | result | minus the first |\n| --- " + "| ---: " * 6 + "|")
    reference: dict[str, Array] = {}
    for column in columns:
        weights = ",".join(f"{name}={share.weight:g}" for name, share in column.record.shares.items())
        found = errors(column, landmarks)
        for score in dict.fromkeys(score for score, _ in found):
            result = found[score, "result"]
            first = reference.setdefault(score, result)
            both = min(len(first), len(result))  # a lower limit takes the first targets
            gain = paired_difference(result[:both], first[:both])
            cells = [f"{found[score, what].mean():.2f}" if (score, what) in found else "" for what in ("read", "start")]
            difference = f"{gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"
            name = f"{column.losses} {weights or column.config.loss_weights}"
            print(
                f"| {name} | {column.record.n} | {score} | {' | '.join(cells)} | {result.mean():.2f} | {difference} |"
            )
    readings = [column.folder.read_attributes(column.id).get("histogram") for column in columns]
    read = next((torch.from_numpy(own) for own in readings if own is not None), None)
    if read is not None:
        print_recolouring(columns[0], read)


if __name__ == "__main__":
    main()
