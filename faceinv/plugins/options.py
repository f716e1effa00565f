"""Options of methods, data sets and reporters, checked against their factories."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from faceinv.contracts.specs import ReporterSpec, Spec
from faceinv.errors import UsageError, shown, suggest
from faceinv.plugins.registry import load_target

if TYPE_CHECKING:
    from faceinv.plugins.host import Host

#: Arguments of a data set's factory that are not options.
_ARGUMENTS = ("path", "context")
_TYPES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def check_options(spec: Spec, given: Mapping[str, Any]) -> None:
    """Check options for the factory of a method, data set or reporter, by name, type and value.

    The type of an option is that of its default. A number must be finite, and not negative unless the default is.
    A method is built once to see whether it accepts the values, and so is a protection, which learns only later.

    Raises:
        UsageError: if the factory does not accept them; the message says what is allowed.
        PluginError: if the factory cannot be imported.
    """
    factory = load_target(spec)
    parameters = inspect.signature(factory).parameters
    allowed = [name for name in parameters if name not in _ARGUMENTS]
    whose = f"The {'data set' if spec.kind == 'dataset' else spec.kind} '{spec.name}'"
    for key, value in given.items():
        if key not in allowed:
            listed = f"Allowed: {', '.join(allowed)}." if allowed else "It has no options."
            raise UsageError(f"{whose} has no option '{shown(key)}'.{suggest(key, allowed)} {listed}")
        wrong = _wrong(value, parameters[key].default)
        if wrong:
            raise UsageError(f"{whose}: {key} must be {wrong}, got {shown(repr(value))}.")
    if spec.kind == "method":
        try:
            factory(**{**spec.options, **given})
        except Exception as error:
            raise UsageError(f"{whose} refuses these options: {error}") from error


def _wrong(value: object, default: object) -> str:
    """Return what an option must be, if ``value`` is something else; empty if it fits or cannot be told."""
    kind = type(default)
    if kind not in _TYPES:
        return ""
    numeric = kind is not bool and isinstance(default, int | float)
    if not isinstance(value, int | float if kind is float else kind) or (numeric and isinstance(value, bool)):
        return _TYPES[kind]
    if numeric:
        least = 0 if default >= 0 else -(2**63)  # type: ignore[operator]
        if not least <= value < 2**63:  # type: ignore[operator]
            return "finite and at least 0" if least == 0 else "finite"
    return ""


def parse_reporter(host: Host, given: str) -> tuple[ReporterSpec, dict[str, Any]]:
    """Return the reporter and the options that ``NAME[:key=value,…]`` names.

    Raises:
        UsageError: if there is no such reporter or option.
    """
    name, _, text = given.partition(":")
    spec: ReporterSpec = host.spec("reporter", name)
    options: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"'{given}': expected NAME:key=value,key=value; '{part}' has no '='.")
        options[key.strip()] = _value(value.strip())
    check_options(spec, options)
    return spec, options


def _value(text: str) -> Any:
    """Return a number, truth value or text, as YAML has it."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, bool | int | float) else text
