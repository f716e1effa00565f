"""Broken toys are built from ``module:name`` targets, so their modules must be importable."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "broken"))
