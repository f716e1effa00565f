"""``faceinv doctor``: what is installed and what this machine can do, to be pasted into a bug report."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faceinv.cli.application import Application
from faceinv.errors import FaceinvError, visible

if TYPE_CHECKING:
    from faceinv.plugins.host import Host

#: Libraries whose version may change a number or a message, besides torch.
_LIBRARIES = ("numpy", "pillow", "safetensors", "pydantic", "pluggy", "kornia", "lpips", "timm", "onnxruntime", "ray")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def doctor(app: Application, as_json: bool) -> None:
    """Show what is installed, which weights are here, and how fast this machine is, measured for two seconds.

    The text is made to be pasted into a bug report: it names no user, host or folder.

    \b
    Examples:
      faceinv doctor
      faceinv doctor --json
    """
    facts = without_paths(
        {
            "system": _system(),
            "torch": _torch(),
            "versions": versions(app.host),
            "problems": [str(problem) for problem in app.host.problems],
            "default chain": _default_chain(app),
            "cache": _cache(),
        }
    )
    if as_json:
        app.print_json(facts)
        return
    for heading, value in facts.items():
        for number, line in enumerate(_lines(value)):
            app.print_line(f"{heading if not number else '':<15}{line}")


def versions(host: Host) -> dict[str, str]:
    """Return the version of each installed distribution that matters: torch, libraries, faceinv and plugins."""
    found = {}
    for name in ("torch", *_LIBRARIES):
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    for owner in sorted(set(host.distributions.values())):
        name, _, version = owner.partition(" ")
        found[name] = version
    return found


def without_paths(value: Any) -> Any:
    """Return ``value`` with the user's home and working folder replaced by ``~`` and ``.`` in every text."""
    if isinstance(value, dict):
        return {key: without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths(item) for item in value]
    if not isinstance(value, str):
        return value
    for folder, short in ((os.getcwd(), "."), (str(Path.home()), "~")):
        if len(Path(folder).parts) > 1:
            value = value.replace(folder, short)
    return visible(value)


def _system() -> dict[str, Any]:
    from faceinv.hardware import has_bf16_units, memory, processors

    facts: dict[str, Any] = {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "processors": processors(),
        "bf16 units": has_bf16_units(),
    }
    if size := memory():
        facts["memory"] = f"{size / (1 << 30):.0f} GiB"
    return facts


def _torch() -> dict[str, Any]:
    import torch

    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "GPU": ", ".join(devices) or ("mps" if torch.backends.mps.is_available() else "none"),
    }


def _default_chain(app: Application) -> dict[str, Any]:
    """Return which files of the default chain are here, and how long the default run takes on this machine."""
    from faceinv.bench.config import load_config
    from faceinv.bench.grid import cells
    from faceinv.bench.phases import weighted_specs
    from faceinv.bench.plan import plan
    from faceinv.bench.timing import Timing
    from faceinv.cli.timetable import duration

    config, source = load_config(None, {})
    try:
        grid = cells(config, app.host, source)
        names = [name for cell in grid for spec in weighted_specs(app.host, cell) for name in spec.weights]
        files = {name: "here" if app.store.location(name) else "missing" for name in dict.fromkeys(names)}
        timing = Timing(config, grid, app.host, app.store)
        # Planned for a folder next to no earlier runs, whose times may be of another day.
        alone = config.model_copy(update={"out": Path("/nonexistent/runs/doctor")})
        [first, *_] = plan(alone, grid, app.host, app.store, lambda: timing)
    except FaceinvError as error:  # plugins of the default chain may be missing or broken, which is what to report
        return {"default chain": f"cannot be resolved: {error}"}
    phases = ", ".join(f"{name} {duration(seconds)}" for name, seconds in first.phases.items())
    speed = timing(grid[0])
    return files | {
        "default run": f"about {duration(first.seconds)}: {phases}",
        "image-steps per second": f"{1 / (2 * speed.a_pass):.2g} ({speed.basis})",
    }


def _cache() -> dict[str, Any]:
    from faceinv.storage.cache import cache_folder

    folder = cache_folder()
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    return {
        "chosen by": "FACEINV_CACHE" if os.environ.get("FACEINV_CACHE") else "the system",
        "files": len(files),
        "size": f"{sum(path.stat().st_size for path in files) / (1 << 20):.0f} MiB",
        "writable": os.access(next(p for p in (folder, *folder.parents) if p.is_dir()), os.W_OK),
    }


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"{key}: {_shown(item)}" for key, item in value.items())
    elif isinstance(value, Iterable) and not isinstance(value, str):
        yield from map(str, value) if value else ("none",)
    else:
        yield str(value)


def _shown(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
