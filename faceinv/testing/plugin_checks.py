"""Checks of a plugin as a whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

from faceinv.plugins.host import HOOK_KINDS
from faceinv.testing.checks import CheckFailed, NotApplicable, check, require
from faceinv.testing.subjects import PluginSubject

#: Libraries that no plugin module may import: listing plugins would take seconds.
HEAVY = ("torch", "torchvision", "tensorflow", "jax", "scipy", "sklearn", "cv2", "pandas", "matplotlib")

_PROBE = """
import json, sys
touched = []
def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        touched.append(event)
sys.addaudithook(watch)
sys.path[:] = json.loads(sys.argv[1])
before = set(sys.modules)
import importlib.util
if sys.argv[3]:
    kwargs = {"submodule_search_locations": [sys.argv[4]]} if sys.argv[4] else {}
    spec = importlib.util.spec_from_file_location(sys.argv[2], sys.argv[3], **kwargs)
    module = importlib.util.module_from_spec(spec)
    sys.modules[sys.argv[2]] = module
    spec.loader.exec_module(module)
else:
    module = importlib.import_module(sys.argv[2])
for name in json.loads(sys.argv[5]):
    hook = getattr(module, name, None)
    if hook is not None:
        list(hook())
heavy = sorted(name for name in json.loads(sys.argv[6]) if name in sys.modules)
print(json.dumps({"heavy": heavy, "touched": touched}))
"""


def _imported(subject: PluginSubject) -> dict[str, Any]:
    """Import the plugin's module and call its hooks in a new interpreter; return the side effects."""
    return subject.once("imported", lambda: _import_anew(subject))


def _import_anew(subject: PluginSubject) -> dict[str, Any]:
    module = subject.plugin
    if not isinstance(module, ModuleType):
        raise NotApplicable("the plugin is an object, not a module that could be imported again")
    file = module.__file__ or ""
    package = os.path.dirname(file) if os.path.basename(file) == "__init__.py" else ""
    # Installed modules are imported by name, files given with --plugin by path.
    by_path = "." not in module.__name__
    arguments = [
        json.dumps(sys.path), module.__name__, file if by_path else "", package if by_path else "",
        json.dumps(list(HOOK_KINDS)), json.dumps(HEAVY),
    ]  # fmt: skip
    try:
        done = subprocess.run([sys.executable, "-c", _PROBE, *arguments], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"{subject} takes more than two minutes to import.") from None
    try:
        result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        why = [f"its import ended Python with code {done.returncode}", *done.stderr.strip().splitlines()][-1]
        raise CheckFailed(f"{subject} cannot be imported on its own: {why}.") from None
    return result


@check("plugin", fix="Import torch in the module that a spec's target names, which is imported when it is built.")
def import_is_light(subject: PluginSubject) -> None:
    """Importing the plugin and calling its hooks imports neither torch nor another heavy library."""
    heavy = _imported(subject)["heavy"]
    require(not heavy, f"Importing {subject} or calling its hooks imports {', '.join(heavy)}.")


@check("plugin", fix="Declare files as WeightSpec; faceinv fetches them on first use, with licence and hash.")
def import_uses_no_network(subject: PluginSubject) -> None:
    """Importing the plugin and calling its hooks opens no socket."""
    touched = sorted(set(_imported(subject)["touched"]))
    require(not touched, f"Importing {subject} or calling its hooks uses the network ({', '.join(touched)}).")


@check("plugin", fix="Return the same specs from a hook on every call; it must not depend on a counter or a clock.")
def declares_the_same_twice(subject: PluginSubject) -> None:
    """Every hook returns equal specs on a second call."""
    for name in HOOK_KINDS:
        hook = getattr(subject.plugin, name, None)
        if hook is not None:
            first, second = list(hook()), list(hook())
            require(first == second, f"{subject}: {name}() returns different specs on the second call.")


@check("plugin", fix="Return at least one spec from a hook or add a command; otherwise remove the entry point.")
def declares_something(subject: PluginSubject) -> None:
    """The plugin declares at least one object, weights file, weight source, command or folder of trained parts."""
    declared = [name for name in HOOK_KINDS if (hook := getattr(subject.plugin, name, None)) and list(hook())]
    others = any(hasattr(subject.plugin, name) for name in ("faceinv_commands", "faceinv_trained"))
    require(declared or others, f"{subject} declares nothing; are its hooks marked with @faceinv.hookimpl?")
