"""Declarations of this plugin."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import DatasetSpec

_CITATION = "Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015"


@hookimpl
def faceinv_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name=f"celeba.{split}",
            summary=summary,
            target="faceinv_celeba.dataset:CelebA",
            licence="MIT; the images are for non-commercial research only",
            citation=_CITATION if split == "official" else f"{_CITATION}; split as in ID2image, section 3.4",
            takes_path=True,
            default=split == "official",
            options={"split": split},
        )
        for split, summary in {
            "official": "CelebA, aligned: 40 attributes, identities, official split",
            "paper": "CelebA, aligned, split 188,000 to 15,000 as in the paper",
        }.items()
    ]
