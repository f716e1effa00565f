"""Conformance checks as pytest tests, one per object and check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faceinv.errors import UsageError, suggest
from faceinv.plugins.host import Host
from faceinv.testing.checks import Check, CheckFailed, NotApplicable
from faceinv.testing.conformance import checks_of
from faceinv.testing.subjects import PluginSubject, Subject, subjects_of


@dataclass(frozen=True)
class BoundCheck:
    """A check of one object, for a test to call.

    Args:
        check: The check.
        subject: The object.
    """

    check: Check
    subject: Subject | PluginSubject

    def __call__(self) -> None:
        """Run the check; if it does not apply, the test is skipped with the reason."""
        __tracebackhide__ = True
        try:
            self.check(self.subject)
        except NotApplicable as reason:
            pytest.skip(f"{self.subject}: {reason}")
        except CheckFailed as error:
            raise CheckFailed(f"{error}\n{self.check.meaning}\nTo fix it: {self.check.fix}") from error.__cause__

    @property
    def id(self) -> str:
        """``kind-name-check``."""
        return f"{self.subject.kind}-{self.subject.name}-{self.check.name}"


def parametrize_with_checks(
    plugin: Any,
    *,
    host: Host | None = None,
    make_files: Mapping[str, Callable[[Path], Sequence[Path]]] | None = None,
    paths: Mapping[str, Path] | None = None,
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
    only: Sequence[str] | None = None,
) -> pytest.MarkDecorator:
    """Parametrise a test with all checks of all objects that a plugin declares.

    The test takes one argument, ``check``, and calls it::

        @parametrize_with_checks(plugin)
        def test_conformance(check):
            check()

    Args:
        plugin: The module or object with the hooks, or a list of :class:`~faceinv.testing.Subject`.
        host: Host with the plugins that it needs; by default one with all installed plugins.
        make_files: For weights that cannot be fetched: object name to a function that writes weights files into
            a folder and returns their paths in the order of the spec's ``weights``.
        paths: Data set name to the path to open.
        expected_failures: Object name to check name to reason. Strict: a check that passes is a failure.
        only: Names of the objects to check; all by default.

    Raises:
        UsageError: if any argument names an object or a check that does not exist.
        PluginError: if the plugin cannot be registered.
    """
    if isinstance(plugin, Sequence):
        subjects: list[Subject | PluginSubject] = list(plugin)
    else:
        subjects = subjects_of(plugin, host=host, make_files=dict(make_files or {}), paths=dict(paths or {}))
    known = {subject.name for subject in subjects}
    failures = expected_failures or {}
    for name in (*failures, *(make_files or {}), *(paths or {}), *(only or ())):
        if name not in known:
            raise UsageError(f"No object is called '{name}'.{suggest(name, known)} Checked are {', '.join(known)}.")
    parameters = []
    for subject in subjects:
        if only is not None and subject.name not in only:
            continue
        reasons = dict(failures.get(subject.name, {}))
        for item in checks_of(subject.kind):
            reason = reasons.pop(item.name, None)
            marks = [pytest.mark.xfail(strict=True, raises=CheckFailed, reason=reason)] if reason else []
            bound = BoundCheck(item, subject)
            parameters.append(pytest.param(bound, id=bound.id, marks=marks))
        if reasons and len({s.kind for s in subjects if s.name == subject.name}) == 1:
            raise UsageError(f"No check of {subject} is called '{min(reasons)}'.")
    return pytest.mark.parametrize("check", parameters)
