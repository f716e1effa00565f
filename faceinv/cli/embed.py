"""``faceinv embed``: images to descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faceinv.cli.application import Application
from faceinv.cli.options import Standard
from faceinv.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from faceinv.contracts.networks import Detector
    from faceinv.contracts.progress import Reporter
    from faceinv.contracts.specs import EncoderSpec
    from faceinv.models.loader import Encoder, Loader

_BATCH = 32


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--encoder", default=Standard("encoder"), show_default=True, help="Encoder.")
@click.option("--weights", type=click.Path(path_type=Path), help="Your own weights file.")
@click.option("--aligned", is_flag=True, help="The images are already the encoder's own crop.")
@click.option("--detector", default=Standard("detector"), show_default=True, help="Finds the faces in photographs.")
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

    The most prominent face of each photograph is aligned to the encoder's crop.

    \b
    Examples:
      faceinv embed portrait.jpg --out portrait.npy
      faceinv embed --encoder facenet --aligned crops/*.png --out crops.npy
    """
    import torch

    from faceinv.bench.setup import make_loader
    from faceinv.cli.files import check_outputs, save_array

    check_outputs([out], [*images, weights])
    loader = make_loader(app.host, app.store, weights={encoder: weights} if weights else {}, device=device)
    network = loader.encoder(encoder)
    find = None if aligned else loader.detector(detector)
    with app.progress() as progress, torch.inference_mode():
        descriptors = _embedded(images, network, find, loader, progress)
    save_array(descriptors.numpy(), out)
    app.say(f"{out}: {len(images)} descriptors of length {network.spec.dim}")


def _embedded(
    paths: Sequence[Path], network: Encoder, find: Detector | None, loader: Loader, progress: Reporter
) -> Tensor:
    """Return the descriptors ``(N, D)`` of these images.

    Raises:
        InputError: if any image cannot be used: a missing row would shift all rows after it.
    """
    import torch

    from faceinv.scoring.pairs import embed_all

    descriptors, failures = [], []
    for first in range(0, len(paths), _BATCH):
        batch = []
        for path in paths[first : first + _BATCH]:
            try:
                batch.append(_crop(path, network.spec, find))
            except InputError as error:
                text = str(error)
                failures.append(text if str(path) in text else f"{path}: {text}")
        if batch:
            descriptors.append(embed_all(network, torch.stack(batch).to(loader.device, loader.dtype)))
        progress("embedding", min(first + _BATCH, len(paths)), len(paths))
    if failures:
        raise InputError(f"{' '.join(failures)} Nothing was written.")
    return torch.cat(descriptors)


def _crop(path: Path, spec: EncoderSpec, find: Detector | None) -> Tensor:
    """Return an image as the encoder's crop: aligned if there is a detector, as it is otherwise."""
    from faceinv.data.alignment import align_photograph
    from faceinv.data.images import read_image

    image = read_image(path)
    if find is not None:
        return align_photograph(image, find, spec.framing)
    height, width = spec.framing.size
    if tuple(image.shape[1:]) != (height, width):
        raise InputError(
            f"the crop of '{spec.name}' is {width}x{height} pixels, the image has "
            f"{image.shape[2]}x{image.shape[1]}; leave out --aligned to have it aligned."
        )
    return image
