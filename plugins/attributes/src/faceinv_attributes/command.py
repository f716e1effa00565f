"""``faceinv fit-face``: refit the mean face that ships with the plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from faceinv.cli import Application


@click.command("fit-face")
@click.option("--dataset", required=True, metavar="NAME:PATH", help="Photographs of many faces.")
@click.option("--detector", default="mtcnn", show_default=True, help="Finds the faces if the data set has no framing.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@click.pass_obj
def fit_face(app: Application, dataset: str, detector: str, out: Path) -> None:
    """Fit the rigid face model used for the head pose to dlib's landmarks of many photographs.

    \b
    The file that ships was made with:
      faceinv fit-face --dataset lfw:lfw --out face.safetensors
    """
    import torch
    from faceinv_landmarks.networks import MIRROR
    from safetensors.torch import save_file

    from faceinv.bank import BankSettings, open_bank
    from faceinv.data import open_dataset
    from faceinv.models import Loader
    from faceinv.storage import cache_folder
    from faceinv_attributes.pose import fit_face as fitted_face, head_pose
    from faceinv_attributes.rigid_shape import RIGID

    loader = Loader(app.host, app.store)
    with app.progress() as progress:
        bank = open_bank(
            loader,
            open_dataset(app.host, dataset)[0],
            probes=["landmarks.dlib"],
            settings=BankSettings(detector=detector),
            folder=cache_folder() / "banks",
            progress=progress,
        )
    height, width = bank.frame.size
    landmarks = bank.attributes["landmarks.dlib"]
    landmarks = landmarks[landmarks.isfinite().flatten(1).all(1)] * torch.tensor([width, height])
    shape = fitted_face(landmarks, MIRROR)
    save_file({"shape": shape.contiguous()}, out)
    angles = head_pose(landmarks[:, list(RIGID)], shape)
    spread = ", ".join(
        f"{name} {value:.1f}" for name, value in zip(("yaw", "pitch", "roll"), angles.std(0), strict=True)
    )
    app.say(f"{out}: fitted to {len(landmarks)} faces; standard deviations of their poses: {spread} degrees")
