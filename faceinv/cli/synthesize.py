"""``faceinv synthesize``: latents or seeds to images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faceinv.cli.application import Application
from faceinv.cli.options import Standard
from faceinv.errors import InputError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from faceinv.contracts.progress import Reporter
    from faceinv.models.loader import LoadedGenerator, Loader

_BATCH = 16


def parse_seeds(text: str) -> list[int]:
    """Return the seeds in ``"0-3,7"``: 0, 1, 2, 3, 7.

    Raises:
        UsageError: if the text is not a list of whole numbers and ranges.
    """
    seeds: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()) or (dash and int(high) < int(low)):
            raise UsageError(f"--seeds {text}: '{part.strip()}' is not a seed or a range. Examples: 0-15 or 3,5,8.")
        seeds += range(int(low), int(high or low) + 1)
    if len(seeds) > 1_000_000:
        raise UsageError(f"--seeds {text}: at most a million seeds are allowed.")
    return seeds


@click.command()
@click.option("--generator", default=Standard("generator"), show_default=True, help="Generator.")
@click.option("--weights", type=click.Path(path_type=Path), help="Your own weights file.")
@click.option("--latents", type=click.Path(path_type=Path), help="File.npy of latents.")
@click.option("--space", default="", help="Latent space of the latents; by default the generator's first.")
@click.option("--seeds", help="Sample latents instead: 0-15 or 3,5,8.")
@click.option("--truncation", type=float, help="Truncation ψ of every w, in any space, if the generator supports it.")
@click.option("--noise", help="Noise (const, none or a seed), if the generator supports it.")
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
    import torch

    from faceinv.bench.setup import make_loader
    from faceinv.cli.files import check_outputs
    from faceinv.data.folders import MADE

    name = app.host.spec("generator", generator).name
    options = {key: value for key, value in (("truncation", truncation), ("noise", noise)) if value is not None}
    own = {name: weights} if weights else {}
    loader = make_loader(app.host, app.store, weights=own, device=device, options={name: options})
    loaded = loader.generator(name)
    space = loaded.space(space)
    if latents is not None:
        codes = _read_latents(latents, loaded, space)
        numbers = list(range(len(codes)))
    else:
        numbers = parse_seeds(seeds or "")
        # One random stream per seed: seed 7 gives the same face in every range.
        streams = [torch.Generator().manual_seed(seed) for seed in numbers]
        codes = torch.cat([loaded.network.sample(1, space, rng) for rng in streams])
    files = _files(out, numbers)
    check_outputs(files, [latents, weights], None if out.suffix == ".npy" else out / MADE)
    with app.progress() as progress, torch.inference_mode():
        _write(codes, loaded, space, loader, files, progress)
    app.say(f"{out}: {len(codes)} images of {loaded.framing.size[1]}x{loaded.framing.size[0]} pixels")


def _files(out: Path, numbers: Sequence[int]) -> list[Path]:
    """Return the files to write: one array, or a PNG for each seed or row."""
    return [out] if out.suffix == ".npy" else [out / f"{number:05d}.png" for number in numbers]


def _read_latents(path: Path, generator: LoadedGenerator, space: str) -> Tensor:
    """Return the latents ``(N, *shape)`` of a file; a single one may lack the first axis.

    Raises:
        InputError: if they have another shape or are not finite.
    """
    import torch

    from faceinv.cli.files import read_array

    shape = tuple(generator.network.latent_shape(space))
    codes = torch.from_numpy(read_array(path, "latents"))
    if tuple(codes.shape) == shape:
        codes = codes[None]
    if tuple(codes.shape[1:]) != shape:
        raise InputError(
            f"{path}: latents in '{space}' are (N, {', '.join(map(str, shape))}), got {tuple(codes.shape)}."
        )
    if not torch.isfinite(codes).all():
        raise InputError(f"{path}: the latents contain NaN or infinity.")
    return codes


def _write(
    codes: Tensor, generator: LoadedGenerator, space: str, loader: Loader, files: Sequence[Path], progress: Reporter
) -> None:
    """Write the images of these latents, as one array or a PNG each."""
    import torch

    from faceinv.cli.files import save_array
    from faceinv.data.folders import mark_made
    from faceinv.data.images import write_image

    as_array = files[0].suffix == ".npy"
    if not as_array:
        mark_made(files[0].parent)
    kept = []
    for first in range(0, len(codes), _BATCH):
        batch = codes[first : first + _BATCH].to(loader.device, loader.dtype)
        images = generator.network(batch, space).float().cpu()
        if as_array:
            kept.append(images)
        else:
            for image, file in zip(images, files[first : first + _BATCH], strict=True):
                write_image(image, file)
        progress("generating", min(first + _BATCH, len(codes)), len(codes))
    if as_array:
        save_array(torch.cat(kept).numpy(), files[0])
