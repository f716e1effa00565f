"""Plugins that are not installed: a file, a package folder, or the source of a distribution."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

from faceinv.errors import PluginError, UsageError, shown

#: Group of the entry points of plugins.
GROUP = "faceinv"


def plugins_at(path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the name and a loader of each plugin in a file, a package folder or a source distribution.

    Raises:
        UsageError: if the path does not hold a plugin.
    """
    try:
        path.stat()
    except (OSError, ValueError) as error:
        raise UsageError(f"--plugin {shown(path)}: {getattr(error, 'strerror', None) or error}.") from None
    if not path.is_dir() and not (path.is_file() and path.suffix == ".py"):
        raise UsageError(f"--plugin {path}: a plugin is a .py file, or a folder with pyproject.toml or __init__.py.")
    project = path / "pyproject.toml"
    if path.is_dir() and project.is_file():
        import tomllib

        try:
            declared = dict(tomllib.loads(project.read_text())["project"]["entry-points"][GROUP])
        except (KeyError, TypeError):
            declared = {}
        except (OSError, ValueError) as error:
            raise UsageError(f"--plugin {path}: its pyproject.toml cannot be read: {error}.") from None
        if not declared:
            raise UsageError(f'--plugin {path}: its pyproject.toml lacks [project.entry-points."{GROUP}"].')
        source = str(path / "src" if (path / "src").is_dir() else path)
        if source not in sys.path:
            sys.path.insert(0, source)
        for name, value in declared.items():
            yield name, EntryPoint(name, value, GROUP).load
        return
    if path.is_dir() and not (path / "__init__.py").is_file():
        raise UsageError(f"--plugin {path}: the folder has neither pyproject.toml nor __init__.py.")
    yield path.stem, lambda: _load_module(path)


def _load_module(path: Path) -> ModuleType:
    """Import a file or package folder under its stem, so that ``target`` strings can refer to it."""
    name = path.stem
    if name in sys.modules:
        known = getattr(sys.modules[name], "__file__", None)
        if known and Path(known).resolve() in {path.resolve(), (path / "__init__.py").resolve()}:
            return sys.modules[name]
        raise PluginError(f"its module name '{name}' is taken by {known or 'a built-in module'}; rename the file")
    package = path.is_dir()
    spec = importlib.util.spec_from_file_location(
        name, path / "__init__.py" if package else path, submodule_search_locations=[str(path)] if package else None
    )
    if spec is None or spec.loader is None:
        raise PluginError("not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
