"""ONNX files translated to PyTorch against ONNX Runtime: the same numbers, and the time of one image.

    python benchmarks/onnx_speed.py
    python benchmarks/onnx_speed.py model.onnx --scale 255

Without files, the networks of the plugin encoders are taken, which are fetched on first use. Prints the greatest
difference of a component from ONNX Runtime's, relative to the greatest component, and of the gradient along random
directions from finite differences in float64, relative to its size; then milliseconds per image, one at a time and in a
batch, both measured in turn in one run on one thread, and the best of five.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from faceinv.models import OnnxNetwork, onnx_network
from faceinv.models.external.facts import Facts
from faceinv.models.external.runtime import OnnxRuntime
from faceinv.plugins import Host
from faceinv.weights import WeightStore

BATCH, REPEATS = 8, 5
#: Weights of the plugin encoders, and the greatest value of the images that they take.
NETWORKS = {"sface.opencv/onnx": 255.0, "faceplugin.mobilefacenet/onnx": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="greatest value of the images")
    given = parser.parse_args()
    torch.set_num_threads(1)
    store = WeightStore(Host(), notify=print)
    files = dict.fromkeys(given.files, given.scale) or {store.path(name): top for name, top in NETWORKS.items()}
    print(f"onnxruntime {onnxruntime.__version__}, torch {torch.__version__}, one thread, best of {REPEATS}")
    print("| file | difference | gradient | 1: runtime | 1: torch | 8: runtime | 8: torch | 8: torch, with gradient |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for path, top in files.items():
        print(row(path, top))


def row(path: Path, top: float) -> str:
    """Return a line of the table."""
    network = onnx_network(path)
    rival = OnnxRuntime(path, Facts())
    images = top * torch.rand(BATCH, 3, *network.size, generator=torch.Generator().manual_seed(0))
    one = images[:1]
    times = timed(
        lambda: rival(one),
        lambda: frozen(network, one),
        lambda: rival(images),
        lambda: frozen(network, images),
        lambda: slope(network, images),
    )
    counts = (1, 1, BATCH, BATCH, BATCH)
    cells = [f"{1000 * seconds / count:.1f} ms" for seconds, count in zip(times, counts, strict=True)]
    off = relative(frozen(network, images), rival(images))
    return f"| {path.name} | {off:.1e} | {gradient_error(network, one):.1e} | {' | '.join(cells)} |"


@torch.inference_mode()
def frozen(network: nn.Module, images: Tensor) -> Tensor:
    made: Tensor = network(images)
    return made


def slope(network: nn.Module, images: Tensor) -> Tensor:
    moved = images.clone().requires_grad_(True)
    return torch.autograd.grad(network(moved).square().sum(), moved)[0]


def relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


def gradient_error(network: OnnxNetwork, images: Tensor) -> float:
    """Return the median error of directional derivatives; a kink between the two points would spoil a single one."""
    exact, point = copy.deepcopy(network).double(), images.double()
    rng = torch.Generator().manual_seed(1)
    errors = []
    gradient = slope(exact, point)
    for _ in range(9):
        way = torch.randn(point.shape, generator=rng, dtype=torch.float64)
        step = 1e-9 * float(point.abs().max())
        ends = [frozen(exact, point + sign * step * way).square().sum() for sign in (1, -1)]
        expected = (gradient * way).sum()
        errors.append(float(((ends[0] - ends[1]) / (2 * step) - expected).abs() / expected.abs()))
    return float(np.median(errors))


def timed(*functions: Callable[[], Any]) -> list[float]:
    """Return the least time of each, called in turn."""
    least = [float("inf")] * len(functions)
    for _ in range(REPEATS + 1):
        for place, function in enumerate(functions):
            begun = time.perf_counter()
            function()
            least[place] = min(least[place], time.perf_counter() - begun)
    return least


if __name__ == "__main__":
    main()
