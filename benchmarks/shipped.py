"""What ships of what the default attack learns, next to the same made anew here, on samples that neither learned from.

    python benchmarks/shipped.py [--cache FOLDER] [--images 500]

Makes every part anew, on as many pairs as the default bench, in a temporary folder or in FOLDER, where a second call
finds it. Prints the error of both readers of each probe, the cosine between the latents that both regressors guess
(with that of another sample's guess), and the PSNR of both expected images.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from faceinv.attack.preparation import Preparation
from faceinv.bench.config import load_config
from faceinv.bench.grid import cells
from faceinv.bench.naming import probes_of
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.probes.reader import Split
from faceinv.storage.tensors import TensorCache
from faceinv.weights import WeightStore


def psnr(made: Tensor, truth: Tensor) -> Tensor:
    """Return the PSNR of images in [0, 1], in dB."""
    return -10 * (made - truth).square().flatten(1).mean(1).log10()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--images", type=int, default=500)
    given = parser.parse_args()
    host = Host()
    config, source = load_config(None, {})
    (cell,) = cells(config, host, source)
    names = probes_of(host, cell)
    loader = Loader(host, WeightStore(host))
    with tempfile.TemporaryDirectory() as folder:
        cache = TensorCache(given.cache or Path(folder) / "anew", print)
        shipments = TensorCache(Path(folder) / "empty", print, host.shipments())

        def prepared(cache: TensorCache) -> Preparation:
            chain = (cell.encoder, cell.generator, cell.space)
            return Preparation(loader, *chain, pairs=cell.pairs, preset=cell.probes, cache=cache, probes=names)

        anew, shipped = prepared(cache), prepared(shipments)
        held = Split.of(cell.pairs).test
        descriptors, latents = anew.pairs.descriptors[held], anew.pairs.latents[held]
        rows: list[tuple[str, list[float]]] = []
        for name in names:
            truth, probe, spec = anew.labels(name)[held], anew.probe(name), host.spec("probe", name)
            errors = [float(probe.error(made.read(name, descriptors), truth).mean()) for made in (shipped, anew)]
            rows.append((f"{name}: error, {spec.unit}", errors))
        with torch.inference_mode():
            guesses = [made.regressor(names)(descriptors).flatten(1) for made in (shipped, anew)]
            true = [float(torch.cosine_similarity(guess, latents.flatten(1)).mean()) for guess in guesses]
            images = anew.generator.network(latents[: given.images], anew.space).float()
            shown = [made.conditional_mean(descriptors[: given.images]) for made in (shipped, anew)]
        rows.append(("regressor: cosine to the true latent", true))
        rows.append(("expected images: PSNR, dB", [float(psnr(each, images).mean()) for each in shown]))
        print(f"| {len(descriptors):,} held-out samples | shipped | made anew |\n| --- | --- | --- |")
        for what, (one, other) in rows:
            print(f"| {what} | {one:.4f} | {other:.4f} |")
        cosine, others = torch.cosine_similarity(*guesses), torch.cosine_similarity(guesses[0], guesses[1].roll(1, 0))
        print(f"\nCosine between both guesses: mean {float(cosine.mean()):.5f}, least {float(cosine.min()):.5f};")
        print(f"between guesses for different samples {float(others.mean()):.3f}. First column: {shipments.origins}")


if __name__ == "__main__":
    main()
