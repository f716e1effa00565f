"""From a config to a runner, for every command that attacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from faceinv.errors import UsageError

if TYPE_CHECKING:
    import torch

    from faceinv.bench.config import BenchConfig
    from faceinv.bench.grid import Cell
    from faceinv.bench.runner import Runner
    from faceinv.cli.application import Application
    from faceinv.contracts.progress import Reporter


def make_runner(app: Application, config: BenchConfig, grid: Sequence[Cell], progress: Reporter | None) -> Runner:
    """Return a runner for the cells of ``config`` that reports to ``progress``."""
    from faceinv.bench.resources import Ingredients
    from faceinv.bench.runner import Runner
    from faceinv.models.loader import Loader
    from faceinv.storage.cache import cache_folder
    from faceinv.storage.run_folder import RunFolder

    host = app.host
    files = {}
    for name, file in config.weights.items():
        kind = next(kind for kind in ("encoder", "generator", "probe", "metric") if host.knows(kind, name))
        files[host.spec(kind, name).name] = file
    losses = [name for cell in grid for name in cell.losses]
    options = {}
    if config.checkpoint_activations:
        options = {host.spec("generator", name).name: {"checkpoint_activations": True} for name in config.generator}
    loader = Loader(host, app.store, files=files, device=checked_device(config.device), options=options)
    ingredients = Ingredients(
        loader,
        RunFolder(config.out),
        cache=cache_folder() / "trained",
        progress=progress,
        say=app.say,
        probes=list(dict.fromkeys(probe for name in losses if (probe := host.spec("loss", name).probe))),
    )
    return Runner(ingredients, batch_size=config.batch_size)


def checked_device(name: str) -> torch.device:
    """Return the device ``name``.

    Raises:
        UsageError: torch knows no such device, or this machine has none.
    """
    import torch

    from faceinv.hardware import keep_memory, processors, set_threads

    keep_memory()
    # A worker has its share already.
    if torch.get_num_threads() > processors():
        set_threads()
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"Unknown device '{name}'. Allowed: cpu, cuda, cuda:0, mps, …") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("There is no CUDA device here; use --device cpu.")
    return device
