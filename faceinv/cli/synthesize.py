"""``faceinv synthesize``: latents or seeds to images."""

from __future__ import annotations

from pathlib import Path

import click

from faceinv.bench.config import defaults
from faceinv.cli.application import Application
from faceinv.cli.running import checked_device
from faceinv.errors import InputError, UsageError

_BATCH = 16


def parse_seeds(text: str) -> list[int]:
    """Return the seeds in ``"0-3,7"``: 0, 1, 2, 3, 7.

    Raises:
        UsageError: the text is no list of whole numbers and ranges.
    """
    seeds: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()) or (dash and int(high) < int(low)):
            raise UsageError(f"--seeds {text}: '{part.strip()}' is no seed or range; write 0-15 or 3,5,8.")
        seeds += range(int(low), int(high or low) + 1)
    if len(seeds) > 1_000_000:
        raise UsageError(f"--seeds {text}: at most a million seeds at a time.")
    return seeds


@click.command()
@click.option("--generator", default=defaults()["generator"][0], show_default=True, help="Generator.")
@click.option("--weights", type=click.Path(path_type=Path), help="Your own weights file.")
@click.option("--latents", type=click.Path(path_type=Path), help="File.npy of latents.")
@click.option("--space", default="", help="Latent space of the latents; the generator's first by default.")
@click.option("--seeds", help="Sample latents instead: 0-15 or 3,5,8.")
@click.option("--truncation", type=float, help="Truncation ψ of every w, in any space, for generators that have it.")
@click.option("--noise", help="Noise (const, none or a seed), for generators that have it.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, …")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File.npy, or a folder for PNGs.")
@click.pass_obj
def synthesize(
    app: Application,
    generator: str,
    weights: Path | None,
    latents: Path | None,
    space: str,
    seeds: str | None,
    truncation: float | None,
    noise: str | None,
    device: str,
    out: Path,
) -> None:
    """Generate images: float32 (N, 3, H, W) in [0, 1] as .npy, or PNGs in a folder.

    \b
    Examples:
      faceinv synthesize --seeds 0-15 --out samples
      faceinv synthesize --latents z.npy --space z --out images.npy
      faceinv synthesize --generator stylegan2 --weights ffhq.pkl --seeds 0-3 --truncation 0.7 --out samples
    """
    if (latents is None) == (seeds is None):
        raise UsageError("Give either --latents FILE.npy or --seeds 0-15.")
    import numpy as np
    import torch

    from faceinv.cli.files import read_array, save_array
    from faceinv.cli.progress import reporter
    from faceinv.data.images import write_image
    from faceinv.models.loader import Loader

    spec = app.host.spec("generator", generator)
    options = {key: value for key, value in (("truncation", truncation), ("noise", noise)) if value is not None}
    files = {spec.name: weights} if weights else {}
    loader = Loader(app.host, app.store, files=files, device=checked_device(device), options={spec.name: options})
    loaded = loader.generator(generator)
    space = loaded.space(space)
    shape = loaded.network.latent_shape(space)
    if latents is not None:
        codes = torch.from_numpy(read_array(latents, "latents"))
        if tuple(codes.shape) == tuple(shape):
            codes = codes[None]
        if tuple(codes.shape[1:]) != tuple(shape):
            raise InputError(
                f"{latents}: latents in '{space}' are (N, {', '.join(map(str, shape))}), got {tuple(codes.shape)}."
            )
        if not torch.isfinite(codes).all():
            raise InputError(f"{latents}: the latents hold NaN or infinity.")
    else:
        # One stream per seed: seed 7 is the same face whichever range it stands in.
        streams = [torch.Generator(loader.device).manual_seed(seed) for seed in parse_seeds(seeds or "")]
        codes = torch.cat([loaded.network.sample(1, space, rng) for rng in streams])
    as_file = out.suffix == ".npy"
    if not as_file:
        out.mkdir(parents=True, exist_ok=True)
    kept = []
    with reporter(app.console) as progress, torch.inference_mode():
        for first in range(0, len(codes), _BATCH):
            images = loaded.network(codes[first : first + _BATCH].to(loader.device, loader.dtype), space).float().cpu()
            if as_file:
                kept.append(images.numpy())
            else:
                for offset, image in enumerate(images):
                    write_image(image, out / f"{first + offset:05d}.png")
            progress("generating", min(first + _BATCH, len(codes)), len(codes))
    if as_file:
        save_array(np.concatenate(kept), out)
    app.say(f"{out}: {len(codes)} images of {loaded.framing.size[1]}x{loaded.framing.size[0]} pixels")
