"""``faceinv embed``: images to descriptors."""

from __future__ import annotations

from pathlib import Path

import click

from faceinv.bench.config import defaults
from faceinv.cli.application import Application
from faceinv.cli.running import checked_device
from faceinv.errors import InputError

_BATCH = 32


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--encoder", default=defaults()["encoder"][0], show_default=True, help="Encoder.")
@click.option("--weights", type=click.Path(path_type=Path), help="Your own weights file.")
@click.option("--aligned", is_flag=True, help="The images are already the encoder's own crop.")
@click.option("--detector", default=defaults()["detector"], show_default=True, help="Finds the faces in photographs.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, …")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File.npy to write.")
@click.pass_obj
def embed(
    app: Application,
    images: tuple[Path, ...],
    encoder: str,
    weights: Path | None,
    aligned: bool,
    detector: str,
    device: str,
    out: Path,
) -> None:
    """Write the descriptors of IMAGES, in their order, as a float32 array (N, D).

    Photographs are searched for the most prominent face, which is aligned to the encoder's crop.

    \b
    Examples:
      faceinv embed portrait.jpg --out portrait.npy
      faceinv embed --encoder facenet --aligned crops/*.png --out crops.npy
    """
    import numpy as np
    import torch

    from faceinv.cli.files import save_array
    from faceinv.cli.progress import reporter
    from faceinv.data.alignment import align_photograph
    from faceinv.data.images import read_image
    from faceinv.models.loader import Loader

    spec = app.host.spec("encoder", encoder)
    files = {spec.name: weights} if weights else {}
    loader = Loader(app.host, app.store, files=files, device=checked_device(device))
    network = loader.encoder(encoder)
    find = None if aligned else loader.detector(detector)
    descriptors, failures = [], []
    with reporter(app.console) as progress, torch.inference_mode():
        for first in range(0, len(images), _BATCH):
            batch = []
            for path in images[first : first + _BATCH]:
                try:
                    image = read_image(path)
                    if find is not None:
                        image = align_photograph(image, find, spec.framing)
                    elif tuple(image.shape[1:]) != tuple(spec.framing.size):
                        height, width = spec.framing.size
                        raise InputError(
                            f"the crop of '{spec.name}' is {width}x{height} pixels, the image has "
                            f"{image.shape[2]}x{image.shape[1]}; leave --aligned out to have it aligned."
                        )
                except InputError as error:
                    text = str(error)
                    failures.append(text if str(path) in text else f"{path}: {text}")
                    continue
                batch.append(image)
            if batch:
                stacked = torch.stack(batch).to(loader.device, loader.dtype)
                descriptors.append(network(stacked).float().cpu().numpy())
            progress("embedding", min(first + _BATCH, len(images)), len(images))
    if failures:
        # A row that is missing would shift all that follow: all rows or no file.
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise InputError(f"{failures[0]}{more} Nothing was written.")
    save_array(np.concatenate(descriptors), out)
    app.say(f"{out}: {len(images)} descriptors of length {spec.dim}")
