"""Declarations of this plugin."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import DatasetSpec

_CITATION = "Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015"

_DATASETS = {
    "official": (
        "CelebA, aligned: 40 attributes, identities, official split",
        {"split": "official", "images": "aligned"},
    ),
    "paper": (
        "CelebA, aligned, split 188,000 to 15,000 as in the paper",
        {"split": "paper", "images": "aligned"},
    ),
    "uncropped": (
        "CelebA's uncropped photographs, aligned by their landmarks, official split",
        {"split": "official", "images": "uncropped"},
    ),
    "paper-uncropped": (
        "CelebA's uncropped photographs, aligned by their landmarks, the paper's split",
        {"split": "paper", "images": "uncropped"},
    ),
}


@hookimpl
def faceinv_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name=f"celeba.{name}",
            summary=summary,
            target="faceinv_celeba.dataset:CelebA",
            licence="MIT; the images are for non-commercial research only",
            citation=_CITATION if options["split"] == "official" else f"{_CITATION}; split as in ID2image, section 3.4",
            takes_path=True,
            default=name == "official",
            options=options,
        )
        for name, (summary, options) in _DATASETS.items()
    ]
