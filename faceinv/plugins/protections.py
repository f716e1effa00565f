"""Protections written as text, ``NAME[:[OPTION=]VALUE]...``, checked by name, type and range; imports no torch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from faceinv.contracts.protection_specs import ProtectionContext, ProtectionSpec
from faceinv.errors import FaceinvError, PluginError, UsageError, shown
from faceinv.plugins.options import check_options
from faceinv.plugins.registry import load_target

if TYPE_CHECKING:
    from faceinv.plugins.host import Host

#: How the absence of a protection is written.
NONE = "none"


def parse_protection(text: str, dim: int, host: Host) -> tuple[ProtectionSpec, dict[str, Any]] | None:
    """Return the declaration and every option of a protection such as ``biohash:bits=128``; ``None`` for ``none``.

    A value without a name belongs to the first option.

    Args:
        text: As it is written.
        dim: Length of a descriptor.
        host: The plugins.

    Raises:
        UsageError: if the protection or an option is unknown, or a value not allowed.
    """
    name, *given = text.strip().split(":")
    if name == NONE and not given:
        return None
    spec: ProtectionSpec = host.spec("protection", name)
    standard = defaults_of(spec)
    options: dict[str, Any] = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals:
            if not standard:
                raise UsageError(f"The protection '{spec.name}' has no options, got '{shown(item)}'.")
            key, value = next(iter(standard)), item
        key = key.strip()
        if key in options:
            raise UsageError(f"'{shown(text)}' sets {key} twice.")
        options[key] = _value(value.strip(), standard.get(key))
    check_options(spec, options)
    every = standard | options
    for key, (low, high) in spec.ranges.items():
        most = dim if high == "dim" else high
        if not low <= every[key] <= most:
            of = f" (the length of a descriptor is {dim})" if high == "dim" else ""
            raise UsageError(
                f"The protection '{spec.name}': {key} must be {low:g} to {most:g}{of}, got {every[key]!r}."
            )
    _build_once(spec, dim, every)
    return spec, every


def _build_once(spec: ProtectionSpec, dim: int, options: Mapping[str, Any]) -> None:
    """Raise :class:`UsageError` if the factory refuses these options together."""

    def refuse(name: str = "") -> NoReturn:
        raise PluginError(f"The protection '{spec.name}' learns when it is built; it should learn on first use.")

    try:
        load_target(spec)(ProtectionContext(dim, 0, refuse, refuse), **options)
    except FaceinvError:
        raise
    except Exception as error:
        raise UsageError(f"The protection '{spec.name}' refuses these options: {error}") from error


def written(name: str, options: Mapping[str, Any]) -> str:
    """Return a protection as text; of an empty ``name``, ``none``."""
    return ":".join([name, *(f"{key}={value}" for key, value in options.items())]) if name else NONE


def defaults_of(spec: ProtectionSpec) -> dict[str, Any]:
    """Return the default of every option, those of the spec before those of its factory."""
    parameters = list(inspect.signature(load_target(spec)).parameters.values())[1:]
    return {item.name: spec.options.get(item.name, item.default) for item in parameters}


def _value(text: str, like: Any) -> Any:
    """Return ``text`` as a value of the type of ``like`` where it is one, else as it is."""
    if isinstance(like, bool):
        return {"true": True, "false": False, "yes": True, "no": False}.get(text.lower(), text)
    for kind in (int, float):
        if isinstance(like, int | float) and (kind is float or isinstance(like, int)):
            try:
                return kind(text)
            except ValueError:
                continue
    return text
