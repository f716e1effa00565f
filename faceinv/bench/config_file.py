"""Config files: YAML that can hold nothing but text, numbers, lists and mappings, and no more than anyone writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from faceinv.errors import UsageError, shown, suggest
from faceinv.storage.regular import open_regular

#: Largest file in bytes; most values, with those that aliases repeat; deepest nesting; longest text.
_BYTES, _VALUES, _DEPTH, _TEXT = 2**17, 50_000, 16, 4096

#: Configs that ship; ``faceinv bench`` takes the name of one in place of a file.
_SHIPPED = Path(__file__).with_name("configs")

_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers: ``1e-2`` is one, ``010`` is ten, and dates and ``1:30`` are text."""


_Loader.yaml_implicit_resolvers = {}

_Loader.add_implicit_resolver(f"{_TAG}null", re.compile(r"(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"(yes|no|true|false|on|off)$", re.IGNORECASE), None)
_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(r"[-+]?\d+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(r"([-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?|[-+]?\.inf|\.nan)$", re.IGNORECASE),
    list("-+.0123456789"),
)


@dataclass(frozen=True)
class Source:
    """A config file, for messages that name its lines."""

    path: Path | None = None
    lines: Mapping[str, int] = field(default_factory=dict)

    def at(self, key: str) -> str:
        """Return ``"file:line: "`` of a top-level key, or an empty string."""
        if self.path is None or key not in self.lines:
            return ""
        return f"{self.path}:{self.lines[key]}: "


def read_config(path: Path) -> tuple[dict[str, Any], Source]:
    """Return the keys of a config file, and their lines.

    Args:
        path: The file, or the name of a config that ships, if there is no such file.

    Raises:
        UsageError: if the file is missing, not a YAML mapping, too large, or has a key twice; the message has its line.
    """
    if path.parent == Path() and not path.suffix and not path.exists():
        path = _shipped(path.name)
    try:
        with open_regular(path) as file:
            content = file.read(_BYTES + 1)
        text = content.decode()
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file. Create one with 'faceinv config > {path}'.") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if len(content) > _BYTES:
        raise UsageError(f"{path}: a config has at most {_BYTES:,} bytes.")
    try:
        node = yaml.compose(text, Loader=_Loader)
    except RecursionError:
        raise UsageError(f"{path}: values are nested more than {_DEPTH} deep.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UsageError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}.") from None
    if node is None:
        return {}, Source(path)
    value = _Values(path).value(node)
    if not isinstance(value, dict):
        raise UsageError(f"{path}:1: a config must be a mapping of keys to values, got a {type(value).__name__}.")
    return value, Source(path, {key.value: key.start_mark.line + 1 for key, _ in node.value})


def _shipped(name: str) -> Path:
    """Return the config that ships under a name.

    Raises:
        UsageError: if there is none; the message suggests the closest.
    """
    known = {path.stem: path for path in _SHIPPED.glob("*.yaml")}
    if name not in known:
        raise UsageError(
            f"{name}: no such file, and no config that ships.{suggest(name, known)} "
            f"Available: {', '.join(sorted(known))}."
        )
    return known[name]


class _Values:
    """Turns the nodes of a file into values.

    Args:
        path: The file, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0

    def value(self, node: yaml.Node, depth: int = 1) -> Any:
        """Return the value of a node.

        Raises:
            UsageError: if it is not allowed.
        """
        self._count += 1
        if self._count > _VALUES:
            raise self._error(node, f"more than {_VALUES:,} values, counting those that aliases repeat")
        if depth > _DEPTH:
            raise self._error(node, f"values are nested more than {_DEPTH} deep")
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.value(item, depth + 1) for item in node.value]
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node, depth)
        if isinstance(node, yaml.ScalarNode):
            try:
                return _scalar(kind, node.value)
            except ValueError as error:
                raise self._error(node, f"'{shown(node.value)}' is not allowed: {error}") from None
        raise self._error(node, f"the tag '{shown(node.tag)}' is not allowed")

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a key must be text")
            if key.value in found:
                raise self._error(key, f"the key '{shown(key.value)}' is there twice")
            found[key.value] = self.value(item, depth + 1)
        return found

    def _error(self, node: yaml.Node, text: str) -> UsageError:
        return UsageError(f"{self._path}:{node.start_mark.line + 1}: {text}.")


def _scalar(kind: str, text: str) -> Any:
    if "\0" in text or len(text) > _TEXT:
        raise ValueError(f"text is at most {_TEXT:,} characters, none of them NUL")
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool" and text.lower() in yaml.SafeLoader.bool_values:
        return yaml.SafeLoader.bool_values[text.lower()]
    if kind in ("int", "float"):
        return (int if kind == "int" else float)(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    raise ValueError(f"values are text, numbers, true, false, null, lists and mappings, not '{shown(kind)}'")
