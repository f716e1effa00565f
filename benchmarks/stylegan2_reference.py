"""StyleGAN2 compared with the code that wrote its files: differences between the images, and time on a CPU.

    python benchmarks/stylegan2_reference.py --nvidia PATH/TO/stylegan2-ada-pytorch \\
        --rosinality PATH/TO/stylegan2-pytorch --resolution 256 --batch 2

Each reference makes a network of the published size with arbitrary weights (no noise strength, bias or mean of w is
left at zero) and writes it in its own format, which ours reads. Prints the largest differences in w and in images, and
the seconds of a forward pass and of a pass with the gradient to w+, alternating between ours and the reference. This
runs the code in the given folders; it is not part of the tests.
"""

from __future__ import annotations

import argparse
import os
import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from faceinv_stylegan2.generator import StyleGAN2, build
from torch import Tensor, nn

from faceinv.hardware import keep_memory

#: Number of images compared.
IMAGES = 3


class Reference:
    """A reference network: writes its file, and maps z to w and w+ to images."""

    name: str
    network: Any

    def save(self, path: Path) -> None:
        """Write the network in its authors' format."""
        raise NotImplementedError

    def mapping(self, z: Tensor) -> Tensor:
        """Return w ``(B, 512)``."""
        raise NotImplementedError

    def images(self, rows: Tensor, noise: str) -> Tensor:
        """Return the images of w+ ``(B, rows, 512)``, roughly in [−1, 1]."""
        raise NotImplementedError


class Nvidia(Reference):
    """stylegan2-ada-pytorch's generator in its own pickle."""

    name = "stylegan2-ada-pytorch .pkl"

    def __init__(self, folder: Path, resolution: int) -> None:
        sys.path.insert(0, str(folder))
        from training.networks import Generator

        self.network = Generator(
            z_dim=512,
            c_dim=0,
            w_dim=512,
            img_resolution=resolution,
            img_channels=3,
            mapping_kwargs={"num_layers": 8},
            synthesis_kwargs={"channel_base": 32768 if resolution >= 512 else 16384, "channel_max": 512},
        ).eval()
        disturb(self.network)

    def save(self, path: Path) -> None:
        path.write_bytes(pickle.dumps({"G": None, "D": None, "G_ema": self.network, "training_set_kwargs": None}))

    def mapping(self, z: Tensor) -> Tensor:
        w: Tensor = self.network.mapping(z, None)[:, 0]
        return w

    def images(self, rows: Tensor, noise: str) -> Tensor:
        image: Tensor = self.network.synthesis(rows, noise_mode=noise)
        return image


class Rosinality(Reference):
    """rosinality's generator in a torch file."""

    name = "rosinality .pt"

    def __init__(self, folder: Path, resolution: int) -> None:
        from torch.utils import cpp_extension

        # Its CUDA kernels are compiled on import but not used on a CPU.
        cpp_extension.load = lambda *_, **__: SimpleNamespace()
        sys.path.insert(0, str(folder))
        from model import Generator

        multiplier = 2 if resolution >= 512 else 1
        self.network = Generator(resolution, 512, 8, channel_multiplier=multiplier).eval()
        disturb(self.network)

    def save(self, path: Path) -> None:
        torch.save({"g_ema": self.network.state_dict(), "latent_avg": torch.randn(512)}, path)

    def mapping(self, z: Tensor) -> Tensor:
        w: Tensor = self.network.style(z)
        return w

    def images(self, rows: Tensor, noise: str) -> Tensor:
        silent = [torch.zeros(1)] * self.network.num_layers if noise == "none" else None
        image, _ = self.network([rows], input_is_latent=True, randomize_noise=False, noise=silent)
        result: Tensor = image
        return result


def disturb(network: nn.Module) -> None:
    """Replace the zeros of a fresh network by values that matter, and keep the images within range."""
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            drawn = torch.randn(tensor.shape, generator=rng)
            is_style = "affine" in name or "modulation" in name
            if name.endswith(("noise_strength", "noise.weight")) or (name.endswith(".bias") and not is_style):
                tensor.copy_(0.1 * drawn)
            elif name.endswith("w_avg"):
                tensor.copy_(0.3 * drawn)
            elif "rgb" in name and name.endswith("weight") and not is_style:
                tensor.mul_(0.3)


def largest(given: Tensor, expected: Tensor) -> float:
    """Return the largest difference, relative to the largest expected value."""
    return float((given - expected).abs().max() / expected.abs().max())


@torch.no_grad()
def compare(reference: Reference, file: Path, ours: StyleGAN2) -> None:
    """Print the differences."""
    z = torch.randn(IMAGES, 512, generator=torch.Generator().manual_seed(2))
    w = reference.mapping(z)
    rows = w[:, None].repeat(1, ours.architecture.rows, 1)
    print(f"{reference.name}: w {largest(ours.mapping(z), w):.1e}", end="")
    for noise in ("const", "none"):
        network = ours if noise == "const" else build(file, noise=noise).eval()
        expected = ((reference.images(rows, noise) + 1) / 2).clamp(0, 1)
        inside = float(((expected > 0) & (expected < 1)).float().mean())
        images = network(w, "w")
        print(f", images ({noise} noise, {inside:.0%} unclipped) {largest(images, expected):.1e}", end="")
        swapped = float((expected.flip(1) - images).abs().max())
    print(f", red and blue swapped {swapped:.2f}")


def median_times(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each call, running them alternately."""
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def measure(reference: Reference, ours: StyleGAN2, batch: int, repeats: int) -> None:
    """Print the times and how many times as fast ours is."""
    rows = torch.randn(batch, ours.architecture.rows, 512, generator=torch.Generator().manual_seed(3))
    reference.network.requires_grad_(False)

    def theirs(w: Tensor) -> Tensor:
        return reference.images(w, "const")

    def mine(w: Tensor) -> Tensor:
        return ours(w, "w+")

    def forward(run: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        def call() -> None:
            with torch.inference_mode():
                run(rows)

        return call

    def backward(run: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        leaf = rows.clone().requires_grad_()
        return lambda: torch.autograd.grad(run(leaf).square().mean(), leaf)

    for what, make in (("forward", forward), ("forward and backward", backward)):
        found = median_times({"ours": make(mine), "theirs": make(theirs)}, repeats)
        ratio = found["theirs"] / found["ours"]
        print(f"  {what}: ours {found['ours']:.3f} s, theirs {found['theirs']:.3f} s, {ratio:.2f} times as fast")


def main() -> None:
    """Compare and measure the references given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvidia", type=Path, metavar="FOLDER")
    parser.add_argument("--rosinality", type=Path, metavar="FOLDER")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-allocator", action="store_true", help="Leave glibc's allocator as it is.")
    options = parser.parse_args()
    if not options.no_allocator:
        keep_memory()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"{options.resolution}x{options.resolution}, batch {options.batch}, {options.threads} threads, float32")
    for kind, folder in ((Nvidia, options.nvidia), (Rosinality, options.rosinality)):
        if folder is None:
            continue
        reference = kind(folder.resolve(), options.resolution)
        with tempfile.TemporaryDirectory() as scratch:
            os.environ["FACEINV_CACHE"] = scratch
            file = Path(scratch) / "published"
            reference.save(file)
            ours = build(file).eval()
            compare(reference, file, ours)
            measure(reference, ours, options.batch, options.repeats)


if __name__ == "__main__":
    main()
