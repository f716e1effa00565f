"""Hashes of code, stored with results so that edited code never returns an old number.

Edits without effect, of comments, docstrings and blank lines, change no hash.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from faceinv.contracts.specs import Spec
from faceinv.errors import PluginError
from faceinv.plugins.effective import effective_code

if TYPE_CHECKING:
    from faceinv.plugins.host import Host

CORE = Path(__file__).parents[1]

#: The part of the core that decides what is trained on pairs for an attack: what runs then, and what networks and
#: probes may import from it. ``tests/test_preparation.py`` watches that nothing else runs.
TRAINING = (
    *(f"attack/{name}.py" for name in ("ceiling", "descriptors", "pairs", "preparation")),
    *(f"contracts/{name}.py" for name in ("networks", "probes")),
    "data/images.py",
    "framing.py",
    *(f"models/{name}.py" for name in ("folding", "loader", "prelu")),
    *(f"probes/{name}.py" for name in ("kept", "reader", "recipe", "training", "whitening")),
    "storage/hashing.py",
    "weights/formats",
)
#: The part of the core that decides what networks and probes make of images: banks are made by it.
MAKING = ("contracts", "data", "framing.py", "models", "probes", "weights/formats")
#: The part of the core that decides a number, without what only shows, stores, finds or distributes.
NUMBERS = (
    *MAKING,
    "attack",
    "bank",
    "scoring",
    *(f"bench/{name}.py" for name in ("answers", "hidden", "judge", "knowledge", "leaks", "methods")),
    "bench/protection.py",
    "bench/record.py",
    "bench/runner.py",
)


@cache
def core_hash(*more: str, of: tuple[str, ...] = NUMBERS, core: Path = CORE) -> str:
    """Return a hash of the core's modules that decide a number.

    Args:
        more: Further packages or modules to include, relative to ``faceinv/``, such as ``"audit"``.
        of: The packages and modules to include in any case.
        core: Folder of the core.
    """
    import hashlib

    paths = [core / name for name in (*of, *more)]
    files = {file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])}
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.relative_to(core).as_posix()}\n".encode() + effective_code(file.read_bytes()))
    return digest.hexdigest()[:16]


def code_hash(spec: Spec) -> str:
    """Return a hash of the code behind ``spec.target``; see :func:`module_hash`.

    Raises:
        PluginError: if the target's module does not exist, or a module cannot be parsed.
    """
    return _target_hash(spec.target, f"{spec.kind} '{spec.name}'")


def _target_hash(target: str, what: str) -> str:
    try:
        return module_hash(target.partition(":")[0])
    except (ImportError, SyntaxError, ValueError) as error:
        raise PluginError(f"The {what} cannot be built: {target}: {error}") from error


def codes(host: Host, specs: Iterable[Spec]) -> dict[str, str]:
    """Return a hash of each piece of code behind ``specs``, by name.

    That is each object itself, the probes that it needs, and the converters of its weights files.

    Raises:
        UnknownNameError: if a weights file is not declared.
        PluginError: if a module does not exist or cannot be parsed.
    """
    hashes: dict[str, str] = {}
    found = list(specs)
    for spec in found:
        hashes[f"{spec.kind} {spec.name}"] = code_hash(spec)
        for file in host.weights(spec.weights):
            if file.converter:
                hashes[f"converter {file.converter}"] = _target_hash(file.converter, f"weights '{file.name}'")
        found += [host.spec("probe", name) for name in getattr(spec, "needs", ()) if host.knows("probe", name)]
    return hashes


def module_hash(module: str) -> str:
    """Return a hash of a module's code.

    It covers the module and every module of the same top-level package, or of another that provides plugins, that
    it imports, directly or through others, anywhere in the file. Imports are read from the source: nothing is
    imported, and names that are only put together at run time are missed. Of the core itself only the module itself
    counts: :func:`core_hash` covers the rest.

    Raises:
        ImportError: if the module does not exist.
        SyntaxError: if a module cannot be parsed.
    """
    import hashlib

    top = module.partition(".")[0]
    if _find(module) is None:
        raise ImportError(f"there is no module {module}.")
    contents = _reached(module, top)
    digest = hashlib.sha256()
    for name, content in sorted(contents.items()):
        digest.update(f"{name}\n".encode() + content)
    return digest.hexdigest()[:16]


def _reached(module: str, top: str) -> dict[str, bytes]:
    """Return the code of ``module`` and of all that it imports below ``top`` and from other plugins, by name."""
    contents: dict[str, bytes] = {}
    waiting = {module} if top == CORE.name else set(_with_parents(module))
    while waiting:
        name = waiting.pop()
        found = _find(name)
        if found is None:
            continue  # an attribute of a package, or an optional module that is not installed
        file = Path(found.origin or "")
        content = file.read_bytes() if file.is_file() else b""
        contents[name] = effective_code(content) if file.suffix == ".py" else content
        if file.suffix == ".py" and top != CORE.name:
            package = name if found.submodule_search_locations is not None else name.rpartition(".")[0]
            imported = _imports(content, package)
            waiting |= {other for other in imported if _is_plugin(other.partition(".")[0], top)} - contents.keys()
    return contents


def _is_plugin(package: str, own: str) -> bool:
    """Return True for ``own``, and any other top-level package that provides plugins, going by names alone."""
    return package == own or package.startswith("faceinv_") or package in _installed()


@cache
def _installed() -> frozenset[str]:
    """Return the top-level packages of installed plugins."""
    points = importlib.metadata.entry_points(group=CORE.name)
    return frozenset(point.module.partition(".")[0] for point in points) - {CORE.name}


@cache
def _imports(source: bytes, package: str) -> frozenset[str]:
    """Return every module that ``source``, a module of ``package``, may import, and their parents."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names |= {f"{origin}.{alias.name}" for alias in node.names}
    return frozenset(parent for name in names for parent in _with_parents(name))


def _with_parents(module: str) -> list[str]:
    """Return ``a``, ``a.b`` and ``a.b.c`` for ``a.b.c``."""
    parts = module.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _find(module: str) -> ModuleSpec | None:
    """Find a module without importing its parents, as :func:`importlib.util.find_spec` would."""
    top, *rest = _with_parents(module)
    found = importlib.util.find_spec(top)
    for name in rest:
        if found is None or found.submodule_search_locations is None:
            return None
        found = PathFinder.find_spec(name, found.submodule_search_locations)
    return found
