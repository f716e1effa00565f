"""The progress bar of a download."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from faceinv.weights.sources.base import Progress


def download_bar(console: Console) -> Callable[[str], AbstractContextManager[Progress]]:
    """Return the ``progress`` argument of :class:`faceinv.weights.WeightStore`: a progress bar on ``console``."""

    @contextmanager
    def show(label: str) -> Iterator[Progress]:
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress as Bars,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        # Transient: the bar disappears after the download, and the store prints where the file is.
        with Bars(TextColumn("{task.description}", markup=False), *columns, console=console, transient=True) as bars:
            task = bars.add_task(label, total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total or None)

    return show
