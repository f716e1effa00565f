"""The documentation shows the kept result of a GPU, or says that there is none."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_table", ROOT / "benchmarks" / "gpu_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_the_kept_result(table: ModuleType) -> None:
    assert table.gpu_text() in (ROOT / "docs" / "explanation" / "performance.md").read_text(encoding="utf-8")


def test_a_result_is_a_table_with_the_device(table: ModuleType, tmp_path: Path) -> None:
    settings = {"batch": 8, "precision": "fp32", "mode": "eager"}
    measure = {"what": "DCGAN, MobileFaceNet", "rate": 1234.5, "unit": "image-steps", "memory": 99.0, "error": ""}
    copy = {"what": "copy", "rate": 2.5, "unit": "GB", "memory": 0.0, "error": "", "settings": {"bytes": 4}}
    content = {
        "about": {"device": "A GPU", "torch": "2.11"},
        "tiny": False,
        "tests": {"passed": True},
        "measures": [measure | {"settings": settings}, copy],
    }
    path = tmp_path / "gpu.json"
    path.write_text(json.dumps(content))
    text = table.gpu_text(path)
    assert "On A GPU, PyTorch 2.11; the tests marked `gpu` passed." in text
    assert "| DCGAN, MobileFaceNet | 8 | 1,234 |" in text
    assert "| copy | bytes 4 | 2.5 GB |" in text
    path.write_text(json.dumps(content | {"tiny": True}))
    assert table.gpu_text(path) == table.NOTHING
    assert table.gpu_text(tmp_path / "none.json") == table.NOTHING
