"""Tells the tests in this folder where the campaign is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def campaign(tmp_path: Path) -> Callable[[str, int], None]:
    """Run ``size`` cases of one area, in a process of its own, since the campaign forks for each case."""

    def run(area: str, size: int) -> None:
        command = [sys.executable, str(Path(__file__).parent), area, "--seed", "0", "--size", str(size)]
        done = subprocess.run(
            [*command, "--keep", str(tmp_path / "kept")],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    return run
