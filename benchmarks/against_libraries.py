"""Compare code of ours with the library that does the same: values and time.

    python benchmarks/against_libraries.py [--seconds 3]

Prints a Markdown table. "difference" is the greatest absolute difference of the two results, "ratio" the library's time
over ours. Both run interleaved on one thread, and the best time of each counts. SSIM and LPIPS
are the library's today; "ours" is what they replaced. For warps, colours and histograms see against_kornia.py.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import kornia
import numpy as np
import torch
from best_times import best_times
from faceinv_imagequality.perceptual import PerceptualDistance
from faceinv_imagequality.pixels import PeakSignalToNoise
from faceinv_imagequality.structure import structural_similarity
from pyarrow import csv as arrow
from scipy.stats import binomtest, bootstrap
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor
from torch.nn import functional as F

from faceinv.data import read_labels
from faceinv.plugins import Host
from faceinv.scoring import estimate, wilson
from faceinv.scoring.bootstrap import People, auc
from faceinv.scoring.verification import threshold_at
from faceinv.weights import WeightStore, read_tensors

Run = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Piece:
    """One thing computed twice.

    Args:
        name: What is computed.
        function: The library's function.
        ours: Our code.
        theirs: The same with the library.
    """

    name: str
    function: str
    ours: Run
    theirs: Run


def pieces(folder: Path) -> Iterator[Piece]:
    yield from _of_images()
    yield from _of_scores()
    yield from _of_files(folder)


def _of_images() -> Iterator[Piece]:
    rng = torch.Generator().manual_seed(0)
    a = F.interpolate(torch.rand(8, 3, 9, 9, generator=rng), size=(256, 256), mode="bicubic").clamp(0, 1)
    b = (a + 0.1 * torch.randn(a.shape, generator=rng)).clamp(0, 1)
    yield Piece(
        "SSIM of 8 pairs, 256x256",
        "kornia.metrics.ssim",
        lambda: written_ssim(a, b).numpy(),
        lambda: structural_similarity(a, b).numpy(),
    )
    path = WeightStore(Host()).path("lpips/alexnet")
    network, written = PerceptualDistance(path).eval(), partial(written_lpips, read_tensors(path))
    yield Piece(
        "LPIPS of 8 pairs, 256x256",
        "lpips.LPIPS",
        lambda: written(a, b).numpy(),
        lambda: network(SimpleNamespace(target=b, reconstruction=a)).numpy(),
    )
    psnr = PeakSignalToNoise()
    yield Piece(
        "PSNR of 8 pairs, 256x256",
        "kornia.metrics.psnr, once per pair",
        lambda: psnr(SimpleNamespace(target=b, reconstruction=a)).numpy(),  # type: ignore[arg-type]
        lambda: torch.stack([kornia.metrics.psnr(x, y, 1.0) for x, y in zip(a, b, strict=True)]).numpy(),
    )


def _of_scores() -> Iterator[Piece]:
    rng = np.random.default_rng(0)
    values = rng.gamma(2.0, size=1000)

    def resampled() -> np.ndarray:
        found = bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=0).confidence_interval
        return np.array([found.low, found.high])

    def ours() -> np.ndarray:
        found = estimate(values)
        return np.array([found.low, found.high])

    yield Piece("95 % interval of the mean of 1,000 items", "scipy.stats.bootstrap", ours, resampled)

    def wilson_ours() -> np.ndarray:
        found = wilson(37, 120)
        return np.array([found.low, found.high])

    def wilson_scipy() -> np.ndarray:
        found = binomtest(37, 120).proportion_ci(0.95, "wilson")
        return np.array([found.low, found.high])

    yield Piece("95 % interval of a share", "scipy.stats.binomtest", wilson_ours, wilson_scipy)
    truth = rng.integers(0, 2, 2000).astype(float)
    predicted = np.round(rng.random(2000) * 0.5 + truth * 0.3, 2)
    people = People([str(k) for k in rng.integers(0, 300, 2000)], resamples=200)
    weights = people.replicates(lambda *given: given[2].copy(), truth, predicted)
    yield Piece(
        "AUC of 2,000 items under 201 weightings",
        "sklearn.metrics.roc_auc_score",
        lambda: auc(truth, predicted, weights),
        lambda: np.array([roc_auc_score(truth, predicted, sample_weight=row) for row in weights]),
    )
    impostor, genuine = rng.normal(size=1_000_000), rng.normal(2, size=10_000)
    same = np.repeat([0, 1], [len(impostor), len(genuine)])

    def rates() -> np.ndarray:
        false, true, _ = roc_curve(same, np.concatenate([impostor, genuine]), drop_intermediate=False)
        return np.array([true[np.searchsorted(false, 1e-3 + 1e-12, side="right") - 1]])

    yield Piece(
        "true match rate at a false match rate of 0.1 %, 1,010,000 pairs",
        "sklearn.metrics.roc_curve",
        lambda: np.array([threshold_at(1e-3, impostor, genuine).tmr]),
        rates,
    )


def _of_files(folder: Path) -> Iterator[Piece]:
    rng = torch.Generator().manual_seed(0)
    path = folder / "network.pt"
    torch.save({f"layer{k}.weight": torch.randn(512, 2048, generator=rng) for k in range(24)}, path)
    yield Piece(
        "a PyTorch file of 96 MiB",
        "torch.load(weights_only=True)",
        lambda: _last(read_tensors(path)),
        lambda: _last(torch.load(path, weights_only=True)),
    )
    table = folder / "labels.csv"
    marks = torch.randint(0, 2, (20_000, 40), generator=rng).tolist()
    with open(table, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *(f"attribute{k}" for k in range(40))])
        writer.writerows([f"{row:06}.jpg", *own] for row, own in enumerate(marks))
    yield Piece(
        "a labels file, 20,000 images and 40 attributes",
        "pyarrow.csv.read_csv",
        lambda: read_labels(table).annotations["attribute39"].numpy(),
        lambda: arrow.read_csv(table)["attribute39"].to_numpy(),
    )


def _last(tensors: dict[str, Tensor]) -> np.ndarray:
    return tensors["layer23.weight"].numpy()


def written_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the SSIM ``(B,)`` with all five weighted means in one pass."""
    x = torch.arange(11.0) - 5
    window = torch.exp(-(x**2) / (2 * 1.5**2))
    stacked = torch.cat([a, b, a * a, b * b, a * b], dim=1)
    row = (window / window.sum()).view(1, 1, 1, -1).expand(stacked.shape[1], 1, 1, -1)
    means = F.conv2d(stacked, row, groups=stacked.shape[1])
    means = F.conv2d(means, row.transpose(2, 3), groups=stacked.shape[1])
    mean_a, mean_b, square_a, square_b, product = means.chunk(5, dim=1)
    spread = (square_a - mean_a**2) + (square_b - mean_b**2)
    shared = product - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + 1e-4) * (2 * shared + 9e-4) / ((mean_a**2 + mean_b**2 + 1e-4) * (spread + 9e-4))
    return similarity.mean((1, 2, 3))


@torch.no_grad()
def written_lpips(tensors: dict[str, Tensor], a: Tensor, b: Tensor) -> Tensor:
    """Return LPIPS ``(B,)`` from the tensors of the pinned file, heads included."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    maps = [(2 * image - 1 - mean) / std for image in (a, b)]
    total = torch.zeros(len(a))
    for index, (stride, padding) in enumerate([(4, 2), (1, 2), (1, 1), (1, 1), (1, 1)]):
        weight = tensors[f"AlexNet_0.Conv_{index}.kernel"].permute(3, 2, 0, 1).contiguous()
        bias = tensors[f"AlexNet_0.Conv_{index}.bias"]
        maps = [F.max_pool2d(each, 3, 2) for each in maps] if index in (1, 2) else maps
        maps = [F.conv2d(each, weight, bias, stride, padding).relu() for each in maps]
        unit_a, unit_b = (each / (each.square().sum(1, keepdim=True).sqrt() + 1e-10) for each in maps)
        head = tensors[f"NetLinLayer_{index}.Conv_0.kernel"].flatten()
        total += (unit_a - unit_b).square().mean((2, 3)) @ head
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each of the two (default: 3)")
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    print("| piece | library | difference | ours, ms | library, ms | ratio |\n| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for piece in pieces(Path(folder)):
            difference = float(np.abs(piece.ours().astype(float) - piece.theirs().astype(float)).max())
            ours, theirs = best_times([piece.ours, piece.theirs], seconds)
            times = f"{ours * 1e3:.3g} | {theirs * 1e3:.3g} | {theirs / ours:.2f}"
            print(f"| {piece.name} | {piece.function} | {difference:.1e} | {times} |", flush=True)


if __name__ == "__main__":
    main()
