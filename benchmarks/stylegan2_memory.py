"""Peak memory of a backward pass to w+ through StyleGAN2, with and without ``checkpoint_activations``.

    python benchmarks/stylegan2_memory.py --resolution 1024 --batch 1

A network of the published size with arbitrary weights is written in rosinality's format; each measurement runs in its
own process, which prints its peak and how much of that the backward pass takes.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from faceinv_stylegan2.generator import build
from torch import Tensor

#: Channels by side length, as published; the smaller configuration has half as many from 64 on.
CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}


def state(resolution: int) -> dict[str, Tensor]:
    """Return arbitrary weights with rosinality's names."""
    found: dict[str, Tensor] = {"input.input": torch.randn(1, 512, 4, 4), "noises.noise_0": torch.randn(1, 1, 4, 4)}
    for layer in range(1, 9):
        found |= {f"style.{layer}.weight": 100 * torch.randn(512, 512), f"style.{layer}.bias": torch.zeros(512)}

    def convolution(name: str, inputs: int, outputs: int, kernel: int) -> None:
        found[f"{name}.conv.weight"] = torch.randn(1, outputs, inputs, kernel, kernel)
        found[f"{name}.conv.modulation.weight"] = torch.randn(inputs, 512)
        found[f"{name}.conv.modulation.bias"] = torch.ones(inputs)
        if kernel == 3:
            found[f"{name}.noise.weight"] = torch.ones(1)
            found[f"{name}.activate.bias"] = torch.zeros(outputs)
        else:
            found[f"{name}.bias"] = torch.zeros(1, 3, 1, 1)

    convolution("conv1", 512, 512, 3)
    convolution("to_rgb1", 512, 3, 1)
    for number, side in enumerate(side for side in CHANNELS if 4 < side <= resolution):
        convolution(f"convs.{2 * number}", CHANNELS[side // 2], CHANNELS[side], 3)
        convolution(f"convs.{2 * number + 1}", CHANNELS[side], CHANNELS[side], 3)
        convolution(f"to_rgbs.{number}", CHANNELS[side], 3, 1)
        for which in (1, 2):
            found[f"noises.noise_{2 * number + which}"] = torch.randn(1, 1, side, side)
    return found


def megabytes() -> float:
    """Return the peak memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def once(file: Path, batch: int, checkpoint: bool) -> None:
    """Print the memory and time of one backward pass."""
    generator = build(file, checkpoint_activations=checkpoint)
    rows = generator.sample(batch, "w+", torch.Generator().manual_seed(0)).requires_grad_()
    before, start = megabytes(), time.perf_counter()
    torch.autograd.grad(generator(rows, "w+").square().mean(), rows)
    seconds, peak = time.perf_counter() - start, megabytes()
    what = "activations computed again" if checkpoint else "activations kept"
    print(f"{what}: peak {peak:,.0f} MB, {peak - before:,.0f} MB of it for the pass, {seconds:.1f} s", flush=True)


def main() -> None:
    """Measure in fresh processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=1024, choices=[side for side in CHANNELS if side > 4])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--checkpoint", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.file:
        once(options.file, options.batch, options.checkpoint)
        return
    print(f"{options.resolution}x{options.resolution}, batch {options.batch}, float32, CPU", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "published.pt"
        torch.save({"g_ema": state(options.resolution)}, file)
        command = [sys.executable, __file__, "--file", str(file), "--batch", str(options.batch)]
        environment = os.environ | {"FACEINV_CACHE": scratch}
        # A first process reads the published file and estimates the moments of w, so that their memory is not measured.
        subprocess.run([sys.executable, "-c", WARM, str(file)], env=environment, check=True)
        for flags in ([], ["--checkpoint"]):
            subprocess.run([*command, *flags], env=environment, check=True)


WARM = "import sys; from faceinv_stylegan2.generator import build; build(sys.argv[1])"

if __name__ == "__main__":
    main()
