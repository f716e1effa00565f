"""Make the modules of broken toys importable, because toys are built from ``module:name`` targets."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "broken"))
