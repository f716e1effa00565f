"""The declarations of this plugin."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import DatasetSpec


@hookimpl
def faceinv_datasets() -> list[DatasetSpec]:
    """Declare the data set, which users write as my-template:PATH."""
    return [
        DatasetSpec(
            name="my-template",
            summary="Photographs in one folder, PNG or JPEG",
            target="my_template.dataset:MyDataset",
            licence="LICENCE",
            takes_path=True,
        )
    ]
