"""Declarations of this plugin."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import DatasetSpec


@hookimpl
def faceinv_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="synthetic",
            summary="Held-out samples of the generator: an easier problem than photographs",
            target="faceinv_photographs.synthetic:Synthetic",
            licence="MIT",
            real=False,
        ),
        DatasetSpec(
            name="folder",
            summary="All photographs below a folder, with labels from a CSV file; faces are detected and aligned",
            target="faceinv_photographs.folder:Folder",
            licence="MIT",
            takes_path=True,
            takes_labels=True,
        ),
        DatasetSpec(
            name="mofa-test",
            summary="MoFA-Test, 84 photographs of 78 people, from your own copy; only as a whole",
            target="faceinv_photographs.mofa_test:MofaTest",
            licence="MIT",
            citation="Tewari, Zollhöfer, Kim, Garrido, Bernard, Pérez, Theobalt: MoFA, ICCV Workshops 2017; "
            "used by Li, Smith, Huber: ID2image, SCIA 2023, section 4.4",
            takes_path=True,
        ),
    ]
