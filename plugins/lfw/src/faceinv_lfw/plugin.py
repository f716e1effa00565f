"""Declarations of this plugin."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import DatasetSpec

_CITATION = "Huang, Ramesh, Berg, Learned-Miller: Labeled Faces in the Wild, UMass Amherst TR 07-49, 2007"
_ALIGNED = {
    "deepfunneled": "Labeled Faces in the Wild, deep-funneled: faces are where the data set declares",
    "funneled": "Labeled Faces in the Wild, funneled; faces are detected and aligned",
    "original": "Labeled Faces in the Wild as published; faces are detected and aligned",
}


@hookimpl
def faceinv_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name=f"lfw.{alignment}",
            summary=summary,
            target="faceinv_lfw.dataset:LFW",
            licence="MIT; the photographs are for research only",
            citation=_CITATION if alignment != "deepfunneled" else f"{_CITATION}; Huang et al., NIPS 2012",
            takes_path=True,
            takes_labels=True,
            default=alignment == "deepfunneled",
            options={"alignment": alignment},
        )
        for alignment, summary in _ALIGNED.items()
    ]
