"""The notebook of the tutorial: it runs, and what it shows is kept in it, small and without a trace of a machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorial" / "notebook.ipynb"


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    return json.loads(NOTEBOOK.read_text())


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in notebook["cells"] if cell["cell_type"] == "code" for output in cell["outputs"]]


def test_its_outputs_are_kept_and_small(kept: dict[str, Any]) -> None:
    assert all(cell["outputs"] for cell in kept["cells"] if cell["cell_type"] == "code")
    assert {output["output_type"] for output in outputs(kept)} <= {"execute_result", "display_data"}
    text = NOTEBOOK.read_text()
    assert len(text) < 600_000
    assert str(Path.home()) not in text
    assert "/tmp/" not in text
    pictures = sum("image/png" in output["data"] for output in outputs(kept))
    tables = sum("<table>" in "".join(output["data"].get("text/html", "")) for output in outputs(kept))
    assert (pictures, tables) == (2, 4)


@pytest.mark.weights
def test_it_runs(kept: dict[str, Any], tmp_path: Path) -> None:
    for module in ("nbmake", "ipykernel"):
        pytest.importorskip(module, reason="the notebook needs the extra 'test'")
    # Fewer steps and targets; the text is otherwise that of the page.
    cheap = NOTEBOOK.read_text().replace("steps=50", "steps=2").replace("steps=[50]", "steps=[2]")
    cheap = cheap.replace('\\"limit\\": 10', '\\"limit\\": 2')
    (tmp_path / "notebook.ipynb").write_text(cheap)
    environment = os.environ | {"JUPYTER_RUNTIME_DIR": str(tmp_path), "IPYTHONDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", tmp_path,
         "--nbmake", "--overwrite", "notebook.ipynb"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    made = json.loads((tmp_path / "notebook.ipynb").read_text())
    assert [sorted(output["data"]) for output in outputs(made)] == [sorted(output["data"]) for output in outputs(kept)]
