"""Specs of one kind by name: detect clashes, resolve bare names, suggest the closest to a misspelt one."""

from __future__ import annotations

import pkgutil
from typing import Any, Generic, Protocol, TypeVar

from faceinv.contracts.specs import Spec
from faceinv.errors import PluginError, unknown_name
from faceinv.plugins.guard import excused, guarded, reason


class _Named(Protocol):
    @property
    def name(self) -> str: ...


S = TypeVar("S", bound=_Named)


class Registry(Generic[S]):
    """The specs of one kind, by name.

    Args:
        kind: Kind of the specs, used in messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._specs: dict[str, S] = {}
        self._owners: dict[str, str] = {}
        self._clashes: dict[str, str] = {}

    def add(self, spec: S, owner: str) -> str:
        """Add a spec; return a description of the clash if its name is taken, else an empty string.

        A name declared twice is withdrawn altogether: which of the two is meant cannot be known.
        """
        name = spec.name
        if name in self._specs and name not in self._clashes:
            self._clashes[name] = f"the {self.kind} '{name}' is declared by both {self._owners[name]} and {owner}"
        self._specs.setdefault(name, spec)
        self._owners.setdefault(name, owner)
        return self._clashes.get(name, "")

    def specs(self) -> list[S]:
        """Return all specs without a clash, sorted by name."""
        return [self._specs[name] for name in sorted(self._specs) if name not in self._clashes]

    def owner(self, name: str) -> str:
        """Return the distribution that declared ``name``."""
        return self._owners[self.get(name).name]

    def knows(self, name: str) -> bool:
        """Return whether ``name``, which may be a bare architecture with a default tag, is registered."""
        return name in self._specs or self._default(name) is not None

    def get(self, name: str, hint: str = "") -> S:
        """Return the spec called ``name``.

        Raises:
            UnknownNameError: if there is none; ``hint`` is appended to the message.
            PluginError: if two distributions declare it.
        """
        found = name if name in self._specs else self._default(name)
        if found is None:
            raise unknown_name(self.kind, name, [spec.name for spec in self.specs()], hint)
        if found in self._clashes:
            raise PluginError(
                f"{self._clashes[found][0].upper()}{self._clashes[found][1:]}; leave one out with --no-plugins NAME."
            )
        return self._specs[found]

    def _default(self, name: str) -> str | None:
        for candidate, spec in self._specs.items():
            if getattr(spec, "default", False) and candidate.split(".")[0] == name:
                return candidate
        return None


def load_target(spec: Spec) -> Any:
    """Import the object that ``spec.target`` names.

    Raises:
        PluginError: if the module cannot be imported, or the attribute does not exist.
    """
    try:
        with guarded():
            return pkgutil.resolve_name(spec.target)
    except Exception as error:
        if excused(error):
            raise
        text = str(error) if isinstance(error, (ImportError, AttributeError)) else reason(error)
        raise PluginError(f"The {spec.kind} '{spec.name}' cannot be built: {spec.target}: {text}") from error
