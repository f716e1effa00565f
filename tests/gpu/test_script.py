"""The script that measures on a GPU runs on a CPU with a small setting."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_everything_small_runs_on_a_cpu(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    command = [sys.executable, "benchmarks/gpu.py", "--tiny", "--device", "cpu", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads(out.read_text())
    assert content["about"]["device"] == "cpu"
    assert content["tests"]["passed"]
    failed = [one for one in content["measures"] if one["error"] and "compiled" not in one["error"]]
    assert failed == []
    names = {one["what"] for one in content["measures"]}
    assert {"matrix product", "copy", "embedding", "soft histogram", "DCGAN, MobileFaceNet"} <= names
