"""Hashes of code, so that a number is never older than the code that made it."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from faceinv.contracts.specs import Spec
from faceinv.errors import PluginError


@cache
def core_hash() -> str:
    """Return a hash of the core's own modules, without the command line and what only shows results."""
    import hashlib

    root = Path(__file__).parent
    shown = {root / name for name in ("cli", "report", "testing")}
    files = sorted(file for file in root.rglob("*.py") if shown.isdisjoint(file.parents))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def code_hash(spec: Spec) -> str:
    """Return a hash of the module that ``spec.target`` names, so that results know when a plugin was changed.

    Raises:
        PluginError: the module is not there.
    """
    import hashlib

    module = spec.target.partition(":")[0]
    try:
        found = importlib.util.find_spec(module)
    except ImportError as error:
        raise PluginError(f"The {spec.kind} '{spec.name}' cannot be built: {spec.target}: {error}") from error
    if found is None:
        raise PluginError(f"The {spec.kind} '{spec.name}' cannot be built: there is no module {module}.")
    source = Path(found.origin) if found.origin else None
    content = source.read_bytes() if source and source.is_file() else module.encode()
    return hashlib.sha256(content).hexdigest()[:16]
