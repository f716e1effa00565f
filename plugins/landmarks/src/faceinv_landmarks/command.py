"""``faceinv train-landmarks``: retrain the landmark networks that ship with the plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from faceinv.cli import Application


@click.command("train-landmarks")
@click.argument("kind", type=click.Choice(["measure", "judge"]))
@click.option("--generator", default="dcgan", show_default=True, help="Generator of the training samples.")
@click.option("--samples", default=20_000, show_default=True, type=click.IntRange(1_000), help="Number of samples.")
@click.option("--epochs", default=24, show_default=True, type=click.IntRange(1), help="Number of epochs.")
@click.option("--seed", type=int, help="Seed of samples and training.  [default: 1 for measure, 2 for judge]")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
@click.pass_obj
def train_landmarks(
    app: Application, kind: str, generator: str, samples: int, epochs: int, seed: int | None, out: Path
) -> None:
    """Train a landmark network on a generator's samples, labelled by dlib, and write it as safetensors.

    \b
    The files that ship were made with:
      faceinv train-landmarks measure --out measure.safetensors
      faceinv train-landmarks judge --out judge.safetensors
    """
    import torch
    from safetensors.torch import save_file

    from faceinv.framing import warp_between
    from faceinv.models import Loader
    from faceinv_landmarks.dlib_labels import DlibLandmarks, label_images
    from faceinv_landmarks.networks import FRAME
    from faceinv_landmarks.probe import interocular_error
    from faceinv_landmarks.training import Schedule, train_network

    seed = {"measure": 1, "judge": 2}[kind] if seed is None else seed
    landmarks = DlibLandmarks(app.store.path("landmarks/dlib68"))
    loaded = Loader(app.host, app.store).generator(generator)
    rng = torch.Generator().manual_seed(seed)
    warp = warp_between(loaded.framing, FRAME)
    images, points = [], []
    with torch.inference_mode():
        for first in range(0, samples, 500):
            latents = loaded.network.sample(min(500, samples - first), loaded.space(), rng)
            batch = warp(loaded.network(latents, loaded.space()))
            kept, found = label_images(batch, landmarks)
            images.append(batch[kept])
            points.append(found)
            app.say(f"labelled {first + len(latents)} of {samples} samples; dlib found {sum(map(len, points))} faces")
    # Inference tensors cannot be used in training.
    all_images, all_points = torch.cat(images).clone(), torch.cat(points).clone()
    held_out = len(all_images) // 10
    network = train_network(
        kind,
        all_images[held_out:],
        all_points[held_out:],
        seed=seed,
        schedule=Schedule(epochs=epochs),
        progress=lambda epoch, loss: app.say(f"epoch {epoch} of {epochs}: loss {loss:.4f}"),
    )
    with torch.inference_mode():
        truth = all_points[:held_out]
        own = interocular_error(network(all_images[:held_out]), truth).mean()
        guess = interocular_error(all_points[held_out:].mean(0).expand_as(truth), truth).mean()
    # Half precision halves the file and moves points by less than a hundredth of a pixel.
    save_file({name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}, out)
    app.say(f"{out}: error {own:.2f} % of the interocular distance on {held_out} samples (mean shape {guess:.2f} %)")
