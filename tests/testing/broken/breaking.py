"""Toys that are deliberately broken, each in one way that the named check must find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from faceinv.contracts import (
    DatasetSpec,
    DetectorSpec,
    EncoderSpec,
    GeneratorSpec,
    LossSpec,
    MethodSpec,
    MetricSpec,
    ProbeSpec,
    ProtectionSpec,
    ReporterSpec,
    Spec,
)
from faceinv.testing.toy import FRAMING

T = TypeVar("T")

_SPECS: dict[str, tuple[type[Spec], dict[str, Any]]] = {
    "encoder": (EncoderSpec, {"dim": 12, "framing": FRAMING}),
    "generator": (GeneratorSpec, {"framing": FRAMING, "spaces": ("z", "w")}),
    "probe": (ProbeSpec, {"measurable": True, "unit": "grey levels"}),
    "loss": (LossSpec, {}),
    "method": (MethodSpec, {}),
    "metric": (MetricSpec, {"unit": "1", "higher_is_better": False, "bounds": (0.0, 1.0)}),
    "dataset": (DatasetSpec, {"real": False}),
    "detector": (DetectorSpec, {}),
    "protection": (ProtectionSpec, {}),
    "reporter": (ReporterSpec, {}),
}


@dataclass(frozen=True)
class Broken:
    """One broken toy.

    Args:
        check: The check that must fail it.
        spec: Its declaration; for a plugin as a whole, the plugin.
    """

    check: str
    kind: str
    spec: Any

    @property
    def id(self) -> str:
        return f"{self.kind}-{self.check}"


BROKEN: list[Broken] = []

#: Declarations of the objects that broken toys derive from; each must pass every check of its kind.
GOOD: dict[type, Spec] = {}


def _declare(kind: str, name: str, made: Any, /, **declared: Any) -> Any:
    make, standard = _SPECS[kind]
    target = f"{made.__module__}:{made.__name__}"
    return make(**({"name": name, "summary": "A toy", "target": target, "licence": "MIT"} | standard | declared))


def good(kind: str, **declared: Any) -> Callable[[type[T]], type[T]]:
    """Register the decorated class as an unbroken object of this ``kind``."""

    def register(made: type[T]) -> type[T]:
        GOOD[made] = _declare(kind, f"good-{kind}.{made.__name__.lower()}", made, **declared)
        return made

    return register


def breaks(kind: str, *checks: str, **declared: Any) -> Callable[[T], T]:
    """Register the decorated object as one of this ``kind`` that these ``checks`` must fail."""

    def register(broken: T) -> T:
        for check in checks:
            name = f"broken-{kind}.{check.replace('_', '-')}"
            BROKEN.append(Broken(check, kind, _declare(kind, name, broken, **declared)))
        return broken

    return register
