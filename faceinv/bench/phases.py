"""What a command will do, in order and with the time that each part usually takes; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from faceinv.bench.cell import Cell
from faceinv.bench.config import BenchConfig
from faceinv.bench.naming import metrics_of, networks_of, preparation_key, probes_of
from faceinv.contracts.specs import MethodSpec, Spec
from faceinv.plugins.host import Host
from faceinv.weights.store import WeightStore

#: What the progress of a download is called, followed by the file's name.
FETCHING = "fetching "
#: Seconds per pass: half of an image-step of the default chain, on two cores.
PASS = 0.01
#: Passes per pair that is embedded and labelled.
_EMBED = 1.0
#: Seconds of the other phases on two cores: per pair to train a reader on; per target to load and to score.
_TRAIN, _TARGET, _SCORE = 0.0008, 0.02, 0.1
#: Seconds to find the face in a photograph, to embed and to label it, and their number if nothing limits it.
_PHOTOGRAPH, _PHOTOGRAPHS = 0.1, 10_000
#: Seconds of a report.
_REPORT = 3.0
#: Bytes per second of a download, and of a file of unknown size.
_DOWNLOAD, _SIZE = 5e6, 10_000_000


@dataclass(frozen=True)
class Phase:
    """A part of a command's work.

    Args:
        label: How the names begin under which it reports progress; ``""`` fits every name.
        seconds: Time that it usually takes on two cores. Only ratios matter: progress corrects them.
        kind: Phases of one kind take longer or shorter than usual together; by default each is its own.
    """

    label: str
    seconds: float
    kind: str = ""


@dataclass(frozen=True)
class Speed:
    """How long work takes.

    Args:
        a_pass: Seconds per image of a pass through generator and encoder.
        slower: How many times as long other work takes as on two cores.
        basis: How that is known.
    """

    a_pass: float = PASS
    slower: float = 1.0
    basis: str = "usual"


#: Two cores, and the default chain.
USUAL = Speed()


def bench_phases(
    config: BenchConfig, grid: Sequence[Cell], host: Host, store: WeightStore, parts: int = 1
) -> list[Phase]:
    """Return the phases of a run.

    Args:
        config: The config.
        grid: Its cells.
        host: The plugins.
        store: The weights files.
        parts: Number of shards that share the work.
    """
    phases = [*fetch_phases(config, grid, host, store), Phase("loading targets", _TARGET * grid[0].limit)]
    trained: set[object] = set()
    for number, cell in enumerate(grid, 1):
        phases += training_phases(cell, host, trained)
        steps = cell.limit * (cell.steps * passes(host, cell.method) * PASS + _SCORE) / parts
        phases.append(Phase(f"cell {number} of {len(grid)}:", steps, "inverting"))
        phases.append(Phase("scoring", 2 + 0.05 * cell.limit))
    return [*phases, Phase("report", _REPORT)]


def invert_phases(cell: Cell, config: BenchConfig, targets: int, host: Host, store: WeightStore) -> list[Phase]:
    """Return the phases of an inversion of ``targets`` descriptors."""
    steps = targets * (cell.steps * passes(host, cell.method) * PASS + _SCORE)
    trained = training_phases(cell, host, set())
    return [*fetch_phases(config, [cell], host, store), *trained, Phase("inverting", steps), Phase("report", _REPORT)]


def fetch_seconds(host: Host, files: Iterable[str]) -> float:
    """Return the seconds that downloads usually take."""
    return sum((file.size or _SIZE) / _DOWNLOAD for file in host.weights(list(files)))


def fetch_phases(config: BenchConfig, grid: Sequence[Cell], host: Host, store: WeightStore) -> Iterator[Phase]:
    """Yield a phase for each weights file that has to be downloaded."""
    own = {host.weighted(name).name for name in config.weights}
    specs = [spec for cell in grid for spec in weighted_specs(host, cell) if spec.name not in own]
    for name in dict.fromkeys(name for spec in specs for name in spec.weights):
        if not store.is_here(name):
            yield Phase(f"{FETCHING}{name}", fetch_seconds(host, [name]), FETCHING)


def training_phases(cell: Cell, host: Host, trained: set[object], speed: Speed = USUAL) -> list[Phase]:
    """Return what has to be made of pairs for a cell, and add it to ``trained``; what is cached will be skipped."""
    method: MethodSpec = host.spec("method", cell.method)
    key = preparation_key(cell)
    learned = [f"{name} probe" for name in probes_of(host, cell)]
    if method.offline != "none":
        learned.append("latent regressor")
    phases = [Phase("embedding samples", _EMBED * speed.a_pass * cell.pairs)] if learned and key not in trained else []
    if cell.probe_data and key not in trained:
        phases.append(Phase("embedding images", _PHOTOGRAPH * speed.slower * (cell.probe_data_limit or _PHOTOGRAPHS)))
    phases += [
        Phase(name, _TRAIN * speed.slower * cell.pairs, "training") for name in learned if (key, name) not in trained
    ]
    trained.update([key, *((key, name) for name in learned)])
    return phases


def scoring_seconds(targets: int, speed: Speed = USUAL) -> float:
    """Return the seconds of scoring so many targets, and of the report."""
    return speed.slower * (targets * _SCORE + _REPORT) if targets else 0.0


def weighted_specs(host: Host, cell: Cell) -> list[Spec]:
    """Return the cell's networks and metrics, and the probes that they need."""
    specs: list[Spec] = [*networks_of(host, cell), *metrics_of(host, cell)]
    return specs + [host.spec("probe", source) for spec in specs for source in getattr(spec, "needs", ())]


def passes(host: Host, method: str) -> int:
    """Return the passes through the networks per step: two with a gradient, forward and backward."""
    spec: MethodSpec = host.spec("method", method)
    return 2 if spec.optimises and spec.access == "white-box" else 1
