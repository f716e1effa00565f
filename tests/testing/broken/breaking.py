"""Toys that are deliberately broken, each in the one way that the check named beside it must find."""

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


def breaks(kind: str, *checks: str, **declared: Any) -> Callable[[T], T]:
    """Register what is decorated as an object of this ``kind`` that these ``checks`` must fail."""

    def register(broken: T) -> T:
        make, standard = _SPECS[kind]
        name, module = broken.__name__, broken.__module__  # type: ignore[attr-defined]
        for check in checks:
            spec = {
                "name": f"broken-{kind}.{check.replace('_', '-')}",
                "summary": f"Broken: {check}",
                "target": f"{module}:{name}",
                "licence": "MIT",
            }
            BROKEN.append(Broken(check, kind, make(**(spec | standard | declared))))
        return broken

    return register
