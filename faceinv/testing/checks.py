"""Conformance checks: their declaration, their outcome, and the modules with the checks of each kind.

A check is a function of one subject that raises :class:`CheckFailed`. Its docstring states what must hold, and
``fix`` tells an author how to make it pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from faceinv.errors import LONGEST, FaceinvError, WeightsError, described, shown
from faceinv.plugins.guard import guarded

#: Modules with the checks of each kind. ``plugin`` is a plugin as a whole.
CHECK_MODULES = {
    "plugin": ("plugin_checks",),
    "encoder": ("spec_checks", "network_checks", "encoder_checks"),
    "generator": ("spec_checks", "network_checks", "generator_checks"),
    "probe": ("spec_checks", "probe_checks"),
    "loss": ("spec_checks", "loss_checks"),
    "method": ("spec_checks", "method_checks"),
    "metric": ("spec_checks", "metric_checks", "protocol_checks"),
    "dataset": ("spec_checks", "dataset_checks"),
    "detector": ("spec_checks", "detector_checks"),
    "protection": ("spec_checks", "protection_checks"),
    "reporter": ("spec_checks", "reporter_checks"),
}


class CheckFailed(AssertionError):  # noqa: N818  (pytest shows an AssertionError briefly)
    """A failed check; the message states what was found and what is expected."""


class NotApplicable(Exception):  # noqa: N818  (a reason, not an error)
    """The check does not apply to this object; the message states why."""


class Checked(Protocol):
    """An object under check, or a plugin as a whole."""

    @property
    def kind(self) -> str:
        """Kind of the object."""
        ...

    @property
    def name(self) -> str:
        """Name of the object."""
        ...


@dataclass(frozen=True)
class Check:
    """A property that every object of some kinds must have.

    Args:
        name: Name of the function, unique within a kind.
        kinds: The kinds that it applies to.
        meaning: The property, in one sentence.
        fix: How to make it pass, in one sentence.
        function: Raises :class:`CheckFailed`, or :class:`NotApplicable`.
    """

    name: str
    kinds: tuple[str, ...]
    meaning: str
    fix: str
    function: Callable[[Any], None]

    def __call__(self, subject: Checked) -> None:
        """Run the check.

        Raises:
            CheckFailed: if it fails, or the object raises an unexpected exception.
            NotApplicable: if it does not apply to this object.
            WeightsError: if the object cannot be built because its weights are missing.
        """
        try:
            with guarded():
                self.function(subject)
        except (CheckFailed, NotApplicable, WeightsError):
            raise
        except Exception as error:
            text = str(error) if isinstance(error, FaceinvError) else described(error)
            raise CheckFailed(f"{subject}: {shown(text, LONGEST)}") from error


def check(*kinds: str, fix: str) -> Callable[[Callable[[Any], None]], Check]:
    """Make a :class:`Check` for these ``kinds`` of a function that takes a subject."""

    def wrap(function: Callable[[Any], None]) -> Check:
        meaning = " ".join((function.__doc__ or "").split())
        if not meaning:
            raise TypeError(f"The check {function.__name__} has no docstring, which must state its meaning.")
        return Check(function.__name__, kinds, meaning, fix, function)

    return wrap


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check.

    Args:
        kind: Kind of the object.
        name: Name of the object.
        check: Name of the check.
        status: ``"passed"``, ``"failed"``, ``"not applicable"``, or ``"not run"`` if weights or data are missing.
        message: Why it failed, does not apply or was not run; empty if it passed.
        meaning: The property that was checked.
        fix: How to make it pass.
        seconds: Duration.
    """

    kind: str
    name: str
    check: str
    status: str
    message: str
    meaning: str
    fix: str
    seconds: float


def require(holds: Any, text: str) -> None:
    """Raise :class:`CheckFailed` with ``text`` unless ``holds``."""
    if not holds:
        raise CheckFailed(text)
