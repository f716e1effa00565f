"""Declarations of this plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faceinv import hookimpl
from faceinv.contracts import ProbeSpec, WeightSpec

if TYPE_CHECKING:
    import click

_SHAPE_LICENCE = "MIT; made from landmarks by dlib, whose training data (iBUG 300-W) is for research only"


def _pose(name: str, landmarks: str, summary: str, *, measurable: bool, on_photographs: str = "") -> ProbeSpec:
    return ProbeSpec(
        name=name,
        summary=summary,
        target="faceinv_attributes.pose:PoseProbe",
        licence="MIT",
        weights_licence=_SHAPE_LICENCE,
        citation="Tomasi, Kanade: Shape and motion from image streams under orthography, IJCV 1992",
        weights=("attributes/face",),
        measurable=measurable,
        unit="degrees",
        needs=(landmarks,),
        on_photographs=on_photographs,
    )


@hookimpl
def faceinv_probes() -> list[ProbeSpec]:
    colours = [
        ProbeSpec(
            name=f"{region}-colour",
            summary=f"Mean colour of the {region}",
            target="faceinv_attributes.appearance:MeanColour",
            licence="MIT",
            measurable=True,
            unit="levels",
            exact=True,
            whole_frame=region == "background",
            options={"region": region},
        )
        for region in ("skin", "background")
    ]
    return [
        *colours,
        ProbeSpec(
            name="illumination",
            summary="Direction of the light: shading of the face across and down",
            target="faceinv_attributes.appearance:IlluminationProbe",
            licence="MIT",
            citation="Basri, Jacobs: Lambertian reflectance and linear subspaces, PAMI 2003",
            measurable=True,
            unit="1",
            exact=True,
        ),
        _pose("pose", "landmarks", "Yaw, pitch and roll of the head", measurable=True, on_photographs="pose.dlib"),
        _pose(
            "pose.dlib", "landmarks.dlib", "Yaw, pitch and roll of the head, from dlib's landmarks", measurable=False
        ),
    ]


@hookimpl
def faceinv_weights() -> list[WeightSpec]:
    return [
        WeightSpec(
            name="attributes/face",
            filename="face.safetensors",
            sha256="",
            sources=("package:faceinv_attributes/data/face.safetensors",),
            licence=_SHAPE_LICENCE,
            origin="faceinv fit-face",
        )
    ]


@hookimpl
def faceinv_commands(cli: click.Group) -> None:
    from faceinv_attributes.command import fit_face

    cli.add_command(fit_face)
