"""``faceinv train-landmarks``: train landmark networks for a generator's frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from faceinv.cli import Application


@click.command("train-landmarks")
@click.argument("kind", type=click.Choice(["measure", "judge"]))
@click.option("--generator", default="dcgan", show_default=True, help="Generator whose frame it is for.")
@click.option("--weights", multiple=True, metavar="[NAME=]FILE", help="Your own weights file of the generator.")
@click.option("--dataset", metavar="NAME:PATH", help="Train on photographs instead of the generator's samples.")
@click.option("--detector", default="mtcnn", show_default=True, help="Finds faces in photographs without a framing.")
@click.option("--samples", default=20_000, show_default=True, type=click.IntRange(100), help="Number of samples.")
@click.option(
    "--recipe", default="tuned", show_default=True, type=click.Choice(["tuned", "paper"]), help="How to train."
)
@click.option("--epochs", type=click.IntRange(1), help="Number of epochs.  [default: 24, or the paper's 150]")
@click.option("--seed", type=int, help="Seed of samples and training.  [default: 1 for measure, 2 for judge]")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
@click.pass_obj
def train_landmarks(
    app: Application,
    kind: str,
    generator: str,
    weights: tuple[str, ...],
    dataset: str | None,
    detector: str,
    samples: int,
    recipe: str,
    epochs: int | None,
    seed: int | None,
    out: Path,
) -> None:
    """Train a landmark network for a generator's frame, on samples or photographs labelled by dlib.

    Writes it as safetensors. A bench with that generator then measures with --weights landmarks=FILE (measure)
    and scores with --weights landmark_error=FILE (judge). What was trained before is only written again.

    \b
    The files that ship were made with the first two:
      faceinv train-landmarks measure --out measure.safetensors
      faceinv train-landmarks judge --out judge.safetensors
      faceinv train-landmarks measure --generator stylegan2 --weights ffhq.pkl --out ffhq.safetensors
      faceinv train-landmarks measure --dataset celeba:CelebA --recipe paper --out celeba.safetensors
    """
    from dataclasses import replace

    from faceinv.cli.options import named_files
    from faceinv.models import Loader
    from faceinv_landmarks.kept import trained_network, write_network
    from faceinv_landmarks.material import photographs_of, samples_of
    from faceinv_landmarks.networks import network_frame
    from faceinv_landmarks.training import RECIPES

    seed = {"measure": 1, "judge": 2}[kind] if seed is None else seed
    files = named_files(weights, generator, app.host)
    loader = Loader(app.host, app.store, files={app.host.weighted(name).name: file for name, file in files.items()})
    frame = network_frame(loader.generator(generator).framing)
    source = (
        photographs_of(loader, dataset, frame, detector)
        if dataset
        else samples_of(loader, generator, frame, samples, seed)
    )
    schedule = RECIPES[recipe] if epochs is None else replace(RECIPES[recipe], epochs=epochs)
    with app.progress() as progress:
        made = trained_network(kind, source, frame, seed=seed, schedule=schedule, say=app.say, progress=progress)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_network(made.network, out)
    app.store.vouch(f"landmarks/{kind}", out)
    app.say(
        f"{out}: error {made.error:.2f} % of the interocular distance on {made.held_out} held-out images (mean shape "
        f"{made.guess:.2f} %); trained on {source.origin} in the frame '{frame.name}'"
    )
