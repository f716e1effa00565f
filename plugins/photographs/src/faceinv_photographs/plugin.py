"""What this plugin declares."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.specs import DatasetSpec


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
            summary="All photographs below a folder, with labels from a CSV file; faces are found and aligned",
            target="faceinv_photographs.folder:Folder",
            licence="MIT",
            takes_path=True,
            takes_labels=True,
        ),
    ]
