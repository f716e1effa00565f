"""Methods for tests that disturb a run: one waits for a ticket before each batch, one ends its process."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from faceinv_id2image.methods import LatentAdam

from faceinv import hookimpl
from faceinv.cli import progress
from faceinv.contracts import MethodSpec

#: Every step is printed, so that a test sees where a run continues.
progress.PAUSE = 0

#: Folder of the tickets; workers inherit FACEINV_ variables. Without it nothing waits.
TICKETS = "FACEINV_TEST_TICKETS"


@hookimpl
def faceinv_methods() -> list[MethodSpec]:
    about: dict[str, Any] = {"summary": "For tests", "licence": "MIT"}
    return [
        MethodSpec(name="gated", target="gated_methods:Gated", **about),
        MethodSpec(name="fatal", target="gated_methods:Fatal", **about),
    ]


class Gated(LatentAdam):
    """Adam that waits for a ticket; while it waits, a file has the id of its process."""

    def __call__(self, task: Any) -> Any:
        if os.environ.get(TICKETS):
            folder = Path(os.environ[TICKETS])
            waiting = folder / f"waiting-{os.getpid()}"
            waiting.touch()
            while not any(_taken(ticket) for ticket in folder.glob("ticket-*")):
                time.sleep(0.02)
            waiting.unlink()
        return super().__call__(task)


class Fatal(LatentAdam):
    """Ends the process."""

    def __call__(self, task: Any) -> Any:
        os._exit(7)


def _taken(ticket: Path) -> bool:
    try:
        ticket.unlink()
    except OSError:
        return False
    return True
