"""Tells the tests in this folder where the campaign is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def campaign(tmp_path: Path) -> Callable[..., None]:
    """Run areas of the campaign, each with its number of cases, in a process of its own: it forks for each case."""

    def run(*areas: str) -> None:
        command = [sys.executable, str(Path(__file__).parent), *areas, "--seed", "0"]
        done = subprocess.run(
            [*command, "--keep", str(tmp_path / "kept")],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    return run
