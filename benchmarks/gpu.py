"""Test and measure faceinv on a GPU, and write one JSON with the device's name.

    python benchmarks/gpu.py                      # at most six minutes; writes benchmarks/results/gpu.json
    python benchmarks/gpu.py --tiny --device cpu  # everything small, to try the script itself

It needs no network and no weights: networks have their published shapes and random weights. Besides PyTorch it imports
the checkout, numpy, safetensors, filelock, lazy-loader, platformdirs and pluggy; the tests need pytest. What is not
installed, does not fit or would take too long is left out, and the JSON says so.
``python benchmarks/ratios.py --gpu`` writes the result into docs/explanation/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# The checkout is not installed where only PyTorch is.
PATHS = [str(ROOT), str(ROOT / "benchmarks"), *map(str, sorted(ROOT.glob("plugins/*/src")))]
sys.path[:0] = PATHS

import torch  # noqa: E402
from faceinv_id2image.methods import LatentAdam  # noqa: E402
from gpu_measures import MODES, PRECISIONS, Device, Measure, embedding, engine, histograms, limits, steps  # noqa: E402
from random_networks import Step  # noqa: E402

#: Chains of generator and encoder, most wanted first, and their batch sizes.
CHAINS = (
    ("DCGAN", "MobileFaceNet"),
    ("StyleGAN2 256", "iResNet-100"),
    ("StyleGAN2 1024", "iResNet-100"),
    ("StyleGAN2 256", "VGGFace2 ResNet-50"),
    ("StyleGAN2 1024", "VGGFace2 ResNet-50"),
)
BATCHES = (1, 8, 32)
TINY = (("DCGAN", "MobileFaceNet"), ("tiny StyleGAN2", "MobileFaceNet"))

#: Seconds that the tests may take, and after which no further measurement, and no compilation, begins.
TESTS, MEASURES, COMPILATIONS = 100, 220, 250


def tests(device: str, tiny: bool) -> dict[str, Any]:
    """Run the tests marked ``gpu`` in a process of their own, and return their result."""
    command = [sys.executable, "-m", "pytest", "tests/gpu/test_cuda.py", "-m", "gpu", "-p", "no:cacheprovider"]
    # pytest's configuration names an option of a plugin that may not be installed.
    command += ["-W", "ignore::pytest.PytestConfigWarning"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(PATHS)}
    if tiny or device == "cpu":
        command.append("--collect-only")
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TESTS, check=False
        )
    except subprocess.TimeoutExpired as late:
        return {"passed": False, "output": f"not done after {late.timeout:.0f} s"}
    lines = (done.stdout + done.stderr).strip().splitlines()
    return {"passed": done.returncode == 0, "output": "\n".join(lines[-40:])}


def measured(device: Device, tiny: bool, began: float) -> Iterator[Measure]:
    """Yield every measurement, the most wanted first."""
    chains, batches = (TINY, (1, 2)) if tiny else (CHAINS, BATCHES)
    yield from limits(device, 256 if tiny else 8192)
    for generator, encoder in chains:
        name, step = f"{generator}, {encoder}", Step(generator, encoder).to(device.device)
        modes = ("eager", "cuda graph") if device.is_cuda else ("eager",)
        for batch in batches:
            for kind in PRECISIONS:
                for mode in modes:
                    if time.perf_counter() - began > MEASURES:
                        settings = {"batch": batch, "precision": kind, "mode": mode}
                        yield Measure(name, settings=settings, error="no time left")
                        continue
                    yield steps(device, step, name, batch, kind, mode)
        for mode in modes if time.perf_counter() - began < MEASURES else ():
            yield engine(
                device, step, f"{name}: latent-adam by the engine", batches[1], mode, LatentAdam(), 2 if tiny else 20
            )
        if generator == "DCGAN":
            yield from embedding(device, step, 4 if tiny else 64, 112)
        del step
    yield from histograms(device, 1 if tiny else 16, 32 if tiny else 224)
    # Last, since compilation takes the time of many measurements.
    for generator, encoder in chains[:2]:
        step = Step(generator, encoder).to(device.device)
        for kind in ("fp32", "bf16"):
            name, settings = f"{generator}, {encoder}", {"batch": batches[1], "precision": kind, "mode": MODES[2]}
            if tiny or time.perf_counter() - began > COMPILATIONS:
                yield Measure(name, settings=settings, error="not compiled in a trial" if tiny else "no time left")
                continue
            yield steps(device, step, name, batches[1], kind, MODES[2])


def described(device: Device) -> dict[str, Any]:
    """Return what the numbers were measured on."""
    about = {"python": platform.python_version(), "torch": torch.__version__, "device": device.device.type}
    if device.is_cuda:
        properties = torch.cuda.get_device_properties(0)
        about |= {
            "device": properties.name,
            "memory": properties.total_memory,
            "capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small networks and few measurements")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "gpu.json")
    given = parser.parse_args()
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("this machine has no CUDA device; try the script itself with --tiny --device cpu")
    began = time.perf_counter()
    device = Device(given.device, 0.6, trial=given.tiny)
    content: dict[str, Any] = {"about": described(device), "tiny": given.tiny, "tests": {}, "measures": []}

    def keep() -> None:
        # After each measurement: what was measured stays if the machine goes away.
        content["seconds"] = round(time.perf_counter() - began, 1)
        given.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    content["tests"] = tests(given.device, given.tiny)
    print(content["tests"]["output"], flush=True)
    keep()
    for found in measured(device, given.tiny, began):
        result = found.error or f"{found.rate:,.1f} {found.unit}/s"
        print(found.what, found.settings, result, f"{found.memory:,.0f} MB" if found.memory else "", flush=True)
        content["measures"].append(found.record())
        keep()
    print(f"{given.out}: {len(content['measures'])} measurements in {content['seconds']:.0f} s")
    if not content["tests"]["passed"]:
        sys.exit("The tests failed; the JSON has their output.")


if __name__ == "__main__":
    main()
