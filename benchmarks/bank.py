"""Time and peak memory of the bank, with an empty and with a filled cache; each phase in its own process.

    python benchmarks/bank.py lfw:PATH/TO/lfw --encoder arcface --probe landmarks --probe histogram
    python benchmarks/bank.py --generated 1000 --generated 100000

Prints wall-clock and processor seconds, the peak of resident memory, and how much of it was in use before the first
image was requested. ``--generated N`` makes a folder of N small images and banks them with a tiny encoder, so that
whatever grows with N belongs to the bank.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def measure(given: argparse.Namespace) -> dict[str, float]:
    """Open the bank in this process and return its figures."""
    from faceinv.bank import BankSettings, open_bank
    from faceinv.data import open_dataset
    from faceinv.hardware import keep_memory
    from faceinv.models import Loader
    from faceinv.plugins import Host
    from faceinv.testing import toy
    from faceinv.weights import WeightStore

    keep_memory()
    host = Host()
    host.register(toy, "toy", "toy 0")
    loader = Loader(host, WeightStore(host))
    if given.encoder:
        loader.encoder(given.encoder)
    before = peak()
    began, spent = time.perf_counter(), time.process_time()
    dataset, _ = open_dataset(host, given.dataset)
    if given.encoder.startswith("toy"):
        dataset.framing = toy.FRAMING
    listed = peak()
    settings = BankSettings(workers=given.workers, detector="mtcnn")
    bank = open_bank(loader, dataset, given.encoder, given.probe, settings, folder=given.folder)
    total = sum(float(values.nan_to_num().sum()) for values in (bank.descriptors, *bank.attributes.values()))
    return {
        "images": len(bank.ids),
        "usable": int(bank.usable.sum()),
        "seconds": round(time.perf_counter() - began, 2),
        "processor_seconds": round(time.process_time() - spent, 2),
        "peak_mb": round(peak()),
        "before_mb": round(before),
        "listed_mb": round(listed),
        "sum": total,
    }


def peak() -> float:
    """Return the peak memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def generate(folder: Path, n: int) -> None:
    """Make ``n`` small images: a hundred different ones, each under many names."""
    import torch

    from faceinv.data import write_image

    rng = torch.Generator().manual_seed(0)
    names = [folder / f"{k // 1000:03d}" / f"{k:06d}.png" for k in range(n)]
    for k, name in enumerate(names):
        name.parent.mkdir(parents=True, exist_ok=True)
        if k < 100:
            write_image(torch.rand(3, 16, 16, generator=rng), name)
        else:
            os.link(names[k % 100], name)


def main() -> None:
    """Measure with an empty and with a filled cache."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", help="NAME[:PATH]")
    parser.add_argument("--encoder", default="")
    parser.add_argument("--probe", action="append", default=[])
    parser.add_argument("--workers", type=int)
    parser.add_argument("--folder", type=Path, help="folder of the bank; a new one by default")
    parser.add_argument("--generated", type=int, action="append", default=[], metavar="N")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = [(given.dataset, given.encoder, given.probe)] if given.dataset else []
        for n in given.generated:
            generate(Path(temporary) / f"images-{n}", n)
            work.append((f"folder:{temporary}/images-{n}", "toy", ["brightness"]))
        for dataset, encoder, probes in work:
            command = [sys.executable, __file__, "--here", dataset, "--encoder", encoder]
            command += [word for name in probes for word in ("--probe", name)]
            command += ["--folder", str(given.folder or Path(temporary) / "banks")]
            command += ["--workers", str(given.workers)] if given.workers else []
            for phase in ("cold", "kept"):
                result = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
                print(f"{dataset} {encoder} {phase}: {result.stdout.strip()}", flush=True)


if __name__ == "__main__":
    main()
