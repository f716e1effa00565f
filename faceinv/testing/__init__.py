"""For plugin authors: conformance checks, a toy chain, and pytest fixtures.

A plugin's test is three lines::

    from faceinv.testing import parametrize_with_checks
    from my_encoder import plugin

    @parametrize_with_checks(plugin)
    def test_conformance(check):
        check()

Everything is imported when it is first asked for: ``import faceinv.testing`` imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faceinv.testing.checks import Check, CheckFailed, NotApplicable, Outcome
    from faceinv.testing.conformance import checks_of, run_checks
    from faceinv.testing.faces import DrawnFaces, draw_faces
    from faceinv.testing.kinds import (
        check_dataset,
        check_detector,
        check_encoder,
        check_generator,
        check_loss,
        check_method,
        check_metric,
        check_plugin,
        check_probe,
    )
    from faceinv.testing.parametrize import parametrize_with_checks
    from faceinv.testing.subjects import PluginSubject, Subject, subjects_of

_HOMES = {
    "conformance": ("Check", "CheckFailed", "NotApplicable", "Outcome", "checks_of", "run_checks"),
    "faces": ("DrawnFaces", "draw_faces"),
    "kinds": (
        "check_dataset",
        "check_detector",
        "check_encoder",
        "check_generator",
        "check_loss",
        "check_method",
        "check_metric",
        "check_plugin",
        "check_probe",
    ),
    "parametrize": ("parametrize_with_checks",),
    "subjects": ("PluginSubject", "Subject", "subjects_of"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Check",
    "CheckFailed",
    "DrawnFaces",
    "NotApplicable",
    "Outcome",
    "PluginSubject",
    "Subject",
    "check_dataset",
    "check_detector",
    "check_encoder",
    "check_generator",
    "check_loss",
    "check_method",
    "check_metric",
    "check_plugin",
    "check_probe",
    "checks_of",
    "draw_faces",
    "parametrize_with_checks",
    "run_checks",
    "subjects_of",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'faceinv.testing' has no attribute '{name}'")
    return getattr(importlib.import_module(f"faceinv.testing.{_HOME[name]}"), name)
