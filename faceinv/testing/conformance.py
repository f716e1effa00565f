"""Find the conformance checks of a kind and run them."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable
from functools import cache

from faceinv.errors import UsageError, WeightsError
from faceinv.testing.checks import CHECK_MODULES, Check, Checked, CheckFailed, NotApplicable, Outcome


@cache
def checks_of(kind: str) -> tuple[Check, ...]:
    """Return the checks of a ``kind`` in the order in which they run.

    Raises:
        UsageError: if there are no checks for this kind.
    """
    if kind not in CHECK_MODULES:
        raise UsageError(f"There are no checks for a {kind}. Checked kinds: {', '.join(CHECK_MODULES)}.")
    found: list[Check] = []
    for name in CHECK_MODULES[kind]:
        module = importlib.import_module(f"faceinv.testing.{name}")
        found += [item for item in vars(module).values() if isinstance(item, Check) and kind in item.kinds]
    return tuple(found)


def run_checks(subject: Checked) -> Iterable[Outcome]:
    """Run every check of the subject's kind and yield the outcomes one by one."""
    missing = ""
    for item in checks_of(subject.kind):
        began = time.perf_counter()
        status, message = "passed", ""
        if missing and item.name != "declaration":
            status, message = "not run", missing
        else:
            try:
                item(subject)
            except CheckFailed as error:
                status, message = "failed", str(error)
            except NotApplicable as error:
                status, message = "not applicable", str(error)
            except WeightsError as error:
                status, message = "not run", str(error)
                missing = message
        seconds = round(time.perf_counter() - began, 3)
        yield Outcome(subject.kind, subject.name, item.name, status, message, item.meaning, item.fix, seconds)


def check_all(subject: Checked) -> None:
    """Run every check of the subject's kind, and raise one error that lists the failures.

    Raises:
        CheckFailed: if at least one check fails.
        WeightsError: if the object cannot be built because its weights are missing.
    """
    failed: list[str] = []
    for outcome in run_checks(subject):
        if outcome.status == "not run":
            raise WeightsError(outcome.message)
        if outcome.status == "failed":
            failed.append(f"{outcome.check}: {outcome.message}\n    {outcome.meaning}\n    To fix it: {outcome.fix}")
    if failed:
        raise CheckFailed(f"{subject} fails {len(failed)} checks:\n  " + "\n  ".join(failed))
