"""Options that several commands share: the config, one option per key, and the defaults."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from faceinv.cli.completion import names_of
from faceinv.errors import UnknownNameError, UsageError
from faceinv.plugins.host import Host

F = TypeVar("F", bound=Callable[..., Any])

CONFIG_FILE = click.argument("config_file", required=False, type=click.Path(path_type=Path), metavar="[CONFIG.yaml]")
_MANY: dict[str, Any] = {"multiple": True, "metavar": "NAME"}

#: The options that make a config, one for each key that the command line can set.
_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "encoder": click.option("--encoder", **_MANY, shell_complete=names_of("encoder"), help="Encoder to attack."),
    "critic": click.option(
        "--critic",
        multiple=True,
        metavar="A,B,…",
        shell_complete=names_of("encoder"),
        help="Encoders that score identity; never attacked.",
    ),
    "generator": click.option("--generator", **_MANY, shell_complete=names_of("generator"), help="Face generator."),
    "space": click.option("--space", metavar="NAME", help="Latent space; by default the generator's first."),
    "losses": click.option(
        "--losses", multiple=True, metavar="A,B,…", shell_complete=names_of("loss"), help="Losses of the objective."
    ),
    "objective": click.option(
        "--objective", **_MANY, help="Preset of loss weights and units: balanced, paper or paper-literal."
    ),
    "loss_weights": click.option(
        "--loss-weights", multiple=True, metavar="A=W,B=W,…", help="Loss weights that override the preset's."
    ),
    "method": click.option(
        "--method", multiple=True, metavar="A,B,…", shell_complete=names_of("method"), help="Inversion methods."
    ),
    "dataset": click.option(
        "--dataset",
        multiple=True,
        metavar="NAME[:PATH]",
        shell_complete=names_of("dataset"),
        help="Data set of the targets.",
    ),
    "labels": click.option("--labels", metavar="FILE.csv", help="Annotations of the data set's images."),
    "limit": click.option("--limit", type=int, help="Number of targets."),
    "per_person": click.option("--per-person", type=int, help="Maximum targets per person; 0 for no limit."),
    "min_photographs": click.option(
        "--min-photographs", type=int, help="Only take people with at least this many photographs."
    ),
    "skip": click.option("--skip", type=int, help="Targets to skip first; with --per-person 1, people."),
    "steps": click.option(
        "--steps", multiple=True, metavar="N,N,…", help="Budget per target: image-steps, or queries of scores."
    ),
    "seed": click.option("--seed", type=int, multiple=True, help="Seed of synthetic targets and methods."),
    "ablate": click.option("--ablate/--no-ablate", default=None, help="Add each prefix of the losses: id; id,lm; …"),
    "probes": click.option("--probes", metavar="PRESET", help="Training recipe of the probes: tuned or paper."),
    "pairs": click.option("--pairs", type=int, help="Number of synthetic training pairs."),
    "probe_data": click.option(
        "--probe-data",
        metavar="NAME:PATH",
        shell_complete=names_of("dataset"),
        help="Photographs to train probes on in place of the pairs; the targets' people are left out.",
    ),
    "probe_data_limit": click.option(
        "--probe-data-limit", type=int, help="Maximum number of photographs of that data set; 0 for all."
    ),
    "metrics": click.option(
        "--metric",
        "--metrics",
        "metrics",
        **_MANY,
        shell_complete=names_of("metric"),
        help="Score to compute; by default all of them.",
    ),
    "recognition": click.option(
        "--recognition", metavar="NAME[:PATH]", help="Data set that the encoders' thresholds are measured on."
    ),
    "recognition_limit": click.option(
        "--recognition-limit", type=int, help="Maximum number of photographs of that data set."
    ),
    "leak": click.option(
        "--leak",
        multiple=True,
        metavar="A,B",
        help="What leaks: descriptor, dims:N[:WHICH], bits:N, scores:N or decisions:N.",
    ),
    "knowledge": click.option(
        "--knowledge",
        multiple=True,
        metavar="A,B",
        help="What the attacker knows: encoder, or pairs:N (photographs with their descriptors).",
    ),
    "surrogate": click.option(
        "--surrogate",
        metavar="NAME",
        shell_complete=names_of("encoder"),
        help="Encoder in the loss of an attacker who has pairs.",
    ),
    "leaked_per_person": click.option(
        "--leaked-per-person", multiple=True, metavar="N,N,…", help="Leaked descriptors of each person."
    ),
    "fusion": click.option(
        "--fusion", multiple=True, metavar="A,B", help="How several are used: mean, robust, drop or sum."
    ),
    "answers": click.option(
        "--answers", type=int, help="Reconstructions of each target from different starts, to see how sure they are."
    ),
    "weights": click.option("--weights", multiple=True, metavar="[NAME=]FILE", help="Your own weights file."),
    "protect": click.option(
        "--protect",
        multiple=True,
        metavar="NAME[:OPTION=VALUE],…",
        shell_complete=names_of("protection"),
        help="Protections of the stored descriptors, such as none,biohash:bits=128.",
    ),
    "threat": click.option(
        "--threat", multiple=True, metavar="A,B", help="What the attacker has: key-known, key-stolen-late, key-secret."
    ),
    "issued": click.option(
        "--issued", multiple=True, metavar="N,N,…", help="Leaked templates of each target, each under another key."
    ),
    "precision": click.option(
        "--precision", multiple=True, metavar="A,B", help="Precision of optimisation steps: fp32, bf16 or both."
    ),
    "compile": click.option("--compile/--eager", default=None, help="Compile the networks with torch.compile."),
    "cuda_graph": click.option(
        "--cuda-graph/--no-cuda-graph", default=None, help="Replay the networks of a step from a CUDA graph."
    ),
    "device": click.option("--device", help="cpu, cuda, cuda:1, …"),
    "batch_size": click.option("--batch-size", metavar="N|auto", help="Targets per batch."),
    "checkpoint_activations": click.option(
        "--checkpoint-activations/--keep-activations",
        default=None,
        help="Recompute a generator's activations in the backward pass: slower, but needs less memory.",
    ),
    "reporter": click.option(
        "--reporter",
        multiple=True,
        metavar="NAME[:K=V,…]",
        shell_complete=names_of("reporter"),
        help="Experiment tracker to send the run's events to.",
    ),
    "out": click.option("--out", type=click.Path(path_type=Path), help="Run folder."),
}


def config_options(*, without: Container[str] = (), only: Container[str] = tuple(_OPTIONS)) -> Callable[[F], F]:
    """Return a decorator that adds the options of a config for the keys in ``only`` and not in ``without``."""

    def add(command: F) -> F:
        for key, option in reversed(_OPTIONS.items()):
            if key in only and key not in without:
                command = option(command)
        return command

    return add


def overrides(given: dict[str, Any], host: Host) -> dict[str, Any]:
    """Return the config keys that the command line sets, with weights and loss weights as mappings."""
    values = {key: value for key, value in given.items() if value is not None and value != ()}
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    if "weights" in values:
        values["weights"] = named_files(values["weights"], "", host)
    if "loss_weights" in values:
        values["loss_weights"] = [_weighting(text) for text in values["loss_weights"]]
    return values


def named_files(entries: Sequence[str], first: str, host: Host) -> dict[str, Path]:
    """Return the files of ``--weights [NAME=]FILE`` by name; those without a name belong to ``first``.

    A name ends at the first ``=``. Without a network of that name the whole text is the file, such as ``epoch=3.pth``,
    unless only the rest is one.
    """
    found = {}
    for entry in entries:
        name, _, file = entry.partition("=")
        try:
            host.weighted(name)
        except UnknownNameError:
            if os.path.isfile(entry) or not os.path.isfile(file):
                name, file = (first, entry)
        found[name] = Path(file)
    return found


def _weighting(text: str) -> dict[str, float]:
    try:
        return {name.strip(): float(weight) for name, weight in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise UsageError(
            f"--loss-weights: '{text}' is not a list of NAME=WEIGHT. Example: --loss-weights lm=0.3,hist=0.1"
        ) from None


@dataclass(frozen=True)
class Standard:
    """The default of an option, read from ``defaults.yaml`` when it is needed rather than at import.

    Args:
        key: Key of the config; of a list, the first item is the default.
    """

    key: str

    def __call__(self) -> str:
        """Return the default."""
        from faceinv.bench.config import defaults

        value = defaults()[self.key]
        return str(value[0] if isinstance(value, list) else value)

    __str__ = __call__
