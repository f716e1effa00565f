"""A conformance check: its declaration, its outcome, and the checks of each kind.

A check is a function of one subject that raises :class:`CheckFailed`. Its docstring says what it means, and
``fix`` how an author gets it to pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from faceinv.errors import FaceinvError, WeightsError

#: Kind of what is checked → modules with its checks. ``plugin`` is a plugin as a whole.
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
}


class CheckFailed(AssertionError):  # noqa: N818  (pytest shows an AssertionError without ceremony)
    """What is checked does not hold; the text says what was seen and what is due."""


class NotApplicable(Exception):  # noqa: N818  (not an error: a reason)
    """The check says nothing about this object; the text says why."""


class Checked(Protocol):
    """An object that checks are run on, or a plugin as a whole."""

    @property
    def kind(self) -> str:
        """Kind of what is checked."""
        ...

    @property
    def name(self) -> str:
        """Name of what is checked."""
        ...


@dataclass(frozen=True)
class Check:
    """One thing that must hold of every object of some kinds.

    Args:
        name: The function's name, unique within a kind.
        kinds: Kinds it applies to.
        meaning: What it means, one sentence.
        fix: How to get it to pass, one sentence.
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
            CheckFailed: it does not hold, or the object raised something that no check asked for.
            NotApplicable: it says nothing about this object.
            WeightsError: the object cannot be built for want of its weights.
        """
        try:
            self.function(subject)
        except (CheckFailed, NotApplicable, WeightsError):
            raise
        except Exception as error:
            text = str(error) if isinstance(error, FaceinvError) else f"{type(error).__name__}: {error}"
            raise CheckFailed(f"{subject}: {' '.join(text.split())}") from error


def check(*kinds: str, fix: str) -> Callable[[Callable[[Any], None]], Check]:
    """Turn a function of a subject into a :class:`Check` of these ``kinds``."""

    def wrap(function: Callable[[Any], None]) -> Check:
        meaning = " ".join((function.__doc__ or "").split())
        if not meaning:
            raise TypeError(f"The check {function.__name__} has no docstring, which is what it means.")
        return Check(function.__name__, kinds, meaning, fix, function)

    return wrap


@dataclass(frozen=True)
class Outcome:
    """What became of one check.

    Args:
        kind: Kind of the object.
        name: Name of the object.
        check: Name of the check.
        status: ``"passed"``, ``"failed"``, ``"not applicable"``, or ``"not run"`` for want of weights or data.
        message: What was seen, or why it was not run; empty where it passed.
        meaning: What the check means.
        fix: How to get it to pass.
        seconds: How long it took.
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
