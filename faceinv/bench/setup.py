"""Make the runner of a config, for the command line, the Python API and every worker."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceinv.errors import UsageError, described, shown
from faceinv.plugins.host import Host

if TYPE_CHECKING:
    import torch

    from faceinv.bench.cell import Cell
    from faceinv.bench.config import BenchConfig
    from faceinv.bench.runner import Runner
    from faceinv.contracts.progress import Reporter
    from faceinv.models.loader import Loader
    from faceinv.weights.store import WeightStore


@dataclass(frozen=True)
class Setup:
    """Where plugins and weights files come from; small enough to be sent to a worker.

    Args:
        plugins: Files or folders of plugins that are not installed.
        blocked: Names of plugins, or of their distributions, to leave out.
        trusted: SHA-256 of weights files to accept although no hash of them was published.
        offline: Never use the network.
    """

    plugins: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    offline: bool = False

    def absolute(self) -> Setup:
        """Return the same setup with absolute paths."""
        return replace(self, plugins=tuple(map(os.path.abspath, self.plugins)))

    def host(self) -> Host:
        """Load the plugins."""
        return Host(blocked=self.blocked, paths=self.plugins, offline=self.offline)

    def store(self, host: Host, **hooks: Any) -> WeightStore:
        """Open the weights files that the plugins declare.

        Args:
            host: The plugins.
            hooks: Callbacks of :class:`faceinv.weights.WeightStore`.
        """
        from faceinv.weights.store import WeightStore

        return WeightStore(host, offline=self.offline, trusted=self.trusted, **hooks)


def make_loader(
    host: Host,
    store: WeightStore,
    *,
    weights: Mapping[str, str | Path] | None = None,
    device: str = "cpu",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Loader:
    """Return the loader of networks.

    Args:
        host: The plugins.
        store: The weights files.
        weights: The user's own weights files, by any name of the network that they belong to.
        device: Where networks run.
        options: Further keyword arguments for a network's factory, by the network's full name.

    Raises:
        UsageError: if a name or the device is unknown.
    """
    from faceinv.models.loader import Loader

    files = {host.weighted(name).name: Path(file) for name, file in (weights or {}).items()}
    return Loader(host, store, files=files, device=checked_device(device), options=options)


def make_runner(
    host: Host,
    store: WeightStore,
    config: BenchConfig,
    grid: Sequence[Cell],
    *,
    progress: Reporter | None = None,
    say: Callable[[str], None] = lambda text: None,
    probes: Sequence[str] = (),
    leaked: Collection[str] = (),
    fresh: bool = False,
) -> Runner:
    """Return the runner for the cells of ``config``.

    Args:
        host: The plugins.
        store: The weights files.
        config: The config.
        grid: Its cells.
        progress: Called with (what, done, of).
        say: Called with remarks.
        probes: Full names of the probes that will be read; by default those of the cells' losses.
        leaked: Pixel hashes of photographs that are inverted without being in a data set.
        fresh: Train here even what plugins ship.

    Raises:
        UsageError: if the device is unknown, or does not suit the config.
    """
    from faceinv.bench.resources import Resources
    from faceinv.bench.runner import Runner
    from faceinv.storage.cache import cache_folder
    from faceinv.storage.run_folder import RunFolder

    # A worker does not know yet which files or services the grid's names stand for.
    for given in (*config.encoder, *config.critic):
        for name in re.split(r"[,|]", given):
            host.spec("encoder", name.strip())
    if config.cuda_graph and (config.compile or not config.device.startswith("cuda")):
        raise UsageError("--cuda-graph needs a CUDA device (--device cuda), and does not work together with --compile.")
    options = {}
    if config.checkpoint_activations:
        options = {host.spec("generator", name).name: {"checkpoint_activations": True} for name in config.generator}
    read = probes or [host.spec("loss", name).probe for cell in grid for name in cell.losses]
    resources = Resources(
        make_loader(host, store, weights=config.weights, device=config.device, options=options),
        RunFolder(config.out),
        cache=cache_folder() / "trained",
        shipments=[] if fresh else host.shipments(),
        progress=progress,
        say=say,
        probes=list(dict.fromkeys(filter(None, read))),
        leaked=leaked,
    )
    return Runner(resources, batch_size=config.batch_size, cuda_graph=config.cuda_graph)


def checked_device(name: str) -> torch.device:
    """Return the device ``name``, with torch's threads and memory set for this machine.

    Raises:
        UsageError: if torch does not know the device or this machine does not have it.
    """
    import torch

    from faceinv.hardware import keep_memory, processors, set_threads

    keep_memory()
    # A worker has already taken its share.
    if torch.get_num_threads() > processors():
        set_threads()
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"Unknown device '{shown(name)}'. Allowed: cpu, cuda, cuda:0, mps, …") from None
    try:
        # Torch knows devices that it, or this machine, cannot use; some fail only when a number is read back.
        torch.zeros(1, device=device).item()
    except Exception as error:  # each kind of device has its own class
        raise UsageError(
            f"The device '{shown(name)}' cannot be used on this machine: {shown(described(error))}; use --device cpu."
        ) from None
    # PyTorch's default lets convolutions round to TF32, which has as few digits as fp16.
    torch.backends.cudnn.allow_tf32 = False
    return device
