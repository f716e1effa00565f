"""The Python API; ``import faceinv`` re-exports it."""

from __future__ import annotations

from faceinv.api.attacks import ProbeScores, Reconstructions, invert, load_encoder, probe
from faceinv.api.runs import compare, read_runs, run

__all__ = ["ProbeScores", "Reconstructions", "compare", "invert", "load_encoder", "probe", "read_runs", "run"]
