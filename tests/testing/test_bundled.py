"""Every bundled plugin and all objects that it declares pass every check, without expected failures.

Published weights are used if a package index has them. The other networks have arbitrary numbers, in files of
the publisher's format, so that the plugin's own reader builds them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import official
import pytest

from faceinv.plugins import Host
from faceinv.testing import Subject, checks_of, parametrize_with_checks, subjects_of

HOST = Host()
_FOLDER = tempfile.TemporaryDirectory(prefix="faceinv-data-sets-")


def _path(name: str) -> Path | None:
    if name not in official.PLACES:
        return None
    folder = Path(_FOLDER.name) / name
    folder.mkdir()
    return official.PLACES[name](folder)


def bundled() -> list:
    """Return every bundled plugin and all objects that it declares, as subjects of checks."""
    found = []
    for name, plugin in HOST.manager.list_name_plugin():
        if name == "core" or not HOST.distributions[name].startswith("faceinv"):
            continue
        paths = {name: path for name in official.PLACES if HOST.knows("dataset", name) and (path := PATHS[name])}
        found += subjects_of(plugin, host=HOST, make_files=official.WRITERS, paths=paths)
    return found


PATHS = {name: _path(name) for name in official.PLACES}
SUBJECTS = bundled()
CHECKED = [subject for subject in SUBJECTS if subject.name not in official.STANDS_FOR]


@parametrize_with_checks(CHECKED)
def test_bundled(check) -> None:
    if check.subject.name in official.TOO_LONG and check.check.name != "declaration":
        pytest.skip("takes too long for every run; see official.TOO_LONG")
    check()


@pytest.mark.parametrize("name", official.STANDS_FOR)
def test_what_another_stands_for(name: str) -> None:
    subject = next(subject for subject in SUBJECTS if subject.name == name)
    other = next(subject for subject in CHECKED if subject.name == official.STANDS_FOR[name])
    assert subject.spec.target == other.spec.target
    for field in ("dim", "framing", "unit_length", "spaces", "takes_path"):
        if field != "framing" or subject.kind != "generator":
            assert getattr(subject.spec, field, None) == getattr(other.spec, field, None)
    next(check for check in checks_of(subject.kind) if check.name == "declaration")(subject)


def test_no_bundled_plugin_is_unchecked() -> None:
    folders = {path.parent.name for path in official.PLUGINS.glob("*/src")}
    checked = {subject.name for subject in CHECKED if subject.kind == "plugin"}
    assert folders <= checked
    for kind in ("encoder", "generator", "probe", "loss", "method", "metric", "dataset", "detector"):
        names = {subject.name for subject in CHECKED if subject.kind == kind} | set(official.STANDS_FOR)
        missing = {spec.name for spec in HOST.specs(kind) if HOST.owner(kind, spec.name).startswith("faceinv-")} - names
        assert missing == set(), f"{kind} without checks"


def test_files_are_made_for_what_is_declared() -> None:
    declared = {subject.name for subject in SUBJECTS if isinstance(subject, Subject)}
    assert set(official.WRITERS) | set(official.STANDS_FOR) | set(official.PLACES) <= declared
