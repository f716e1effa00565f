"""``faceinv encoder``: find out how an encoder in a file wants its images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faceinv.cli.application import Application
from faceinv.cli.options import Standard
from faceinv.errors import UsageError, shown

if TYPE_CHECKING:
    from faceinv.audit.inspection import Inspection, Trial
    from faceinv.contracts.specs import EncoderSpec

_HEADINGS = ("framing", "colours", "range", "pairs", "accuracy", "95 % interval", "separation", "")
_TRIED = ("framing", "colour", "scaling")


@click.group()
def encoder() -> None:
    """Use an encoder that comes without a plugin: a file, a program or a service."""


@encoder.command()
@click.argument("name", metavar="FILE")
@click.option("--dataset", required=True, metavar="NAME:PATH", help="Photographs of people, several of each.")
@click.option("--pairs", default=1000, show_default=True, type=click.IntRange(20, 100_000), help="Pairs to compare.")
@click.option("--size", type=click.IntRange(8, 2048), help="Side of the images, if the file does not say.")
@click.option("--dim", type=click.IntRange(1, 1 << 20), help="Length of a descriptor, of a program or service.")
@click.option("--output", default="", metavar="NAME", help="The output that is the descriptor, if there are several.")
@click.option("--detector", default=Standard("detector"), show_default=True, help="Finds faces where needed.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="YAML file to write.")
@click.option("--all", "show_all", is_flag=True, help="Show every way that was tried.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def inspect(
    app: Application,
    name: str,
    dataset: str,
    pairs: int,
    size: int | None,
    dim: int | None,
    output: str,
    detector: str,
    out: Path | None,
    show_all: bool,
    as_json: bool,
) -> None:
    """Find the crop, order of colours and range of the images that an encoder wants.

    FILE is a .onnx file or another name of an encoder without a plugin. Photographs are compared in 50 ways, the best
    four of them on all pairs. A way is named only if it separates people clearly better than the others; otherwise
    the values that cannot be told apart are named. Writes an encoder.yaml, which is an encoder: --encoder encoder.yaml.

    \b
    Examples:
      faceinv encoder inspect w600k_r50.onnx --dataset lfw:LFW --out encoder.yaml
      faceinv encoder inspect model.onnx --dataset folder:people --pairs 200
    """
    from faceinv.audit.inspection import inspect as inspected
    from faceinv.bench.setup import make_loader
    from faceinv.cli.files import check_outputs
    from faceinv.data.opening import open_dataset
    from faceinv.models.external.declare import declare_for_inspection
    from faceinv.models.external.prepared import Prepared
    from faceinv.storage.atomic import write_output

    check_outputs([out] if out else [], [])
    given = {"size": size, "dim": dim, "output": output}
    found = declare_for_inspection(
        name, {key: value for key, value in given.items() if value}, offline=app.setup.offline
    )
    opened, _ = open_dataset(app.host, dataset)
    loader = make_loader(app.host, app.store)
    prepared = loader.encoder(app.host.adopt(found)).network
    if not isinstance(prepared, Prepared):
        raise UsageError(f"'{shown(name)}' comes with a plugin, which makes its images.")
    find = loader.detector(detector) if opened.framing is None else None
    with app.progress() as progress:
        result = inspected(prepared.network, found.spec.framing.size, opened, find, count=pairs, progress=progress)
    if as_json:
        app.print_json([_as_json(trial) for trial in result.trials])
    else:
        _print(app, result, show_all)
    if out:
        write_output(out, _yaml(name, out, result, given, found.spec).encode())
        app.say(f"Wrote {out}; use it as --encoder {out}")


def _print(app: Application, result: Inspection, show_all: bool) -> None:
    most = result.best.pairs
    rows = [_row(trial, result) for trial in result.trials if show_all or trial.pairs == most]
    app.print_table(_HEADINGS, rows, right=_HEADINGS[3:7])
    for fact in _TRIED:
        best, close = getattr(result.best.facts, fact), result.undecided(fact)
        if close:
            app.warn(f"{fact}: {best} is best here, but not clearly better than {' or '.join(close)}; try more pairs.")
        else:
            app.say(f"{fact}: {best}")
    operations = f"{result.operations / 1e9:.2f} billion operations" if result.operations else "operations not known"
    batch = "does not matter" if result.batch_difference < 1e-4 else f"matters: {result.batch_difference:.1e}"
    length = "of length 1" if result.unit_length else "not normalised"
    app.say(
        f"{result.dim}-d descriptors, {length}; the batch {batch}; {result.milliseconds:.0f} ms and {operations} for "
        "one image."
    )


def _row(trial: Trial, result: Inspection) -> tuple[str, ...]:
    facts, share = trial.facts, trial.accuracy
    note = "best" if trial is result.best else "" if trial.behind else "not clearly worse"
    interval = f"{share.low:.3f}–{share.high:.3f}"
    return (
        str(facts.framing), facts.colour, facts.scaling, str(trial.pairs), f"{share.mean:.3f}", interval,
        f"{trial.separation:.2f}", note,
    )  # fmt: skip


def _as_json(trial: Trial) -> dict[str, object]:
    share = trial.accuracy
    return {fact: getattr(trial.facts, fact) for fact in _TRIED} | {
        "pairs": trial.pairs,
        "accuracy": share.mean,
        "low": share.low,
        "high": share.high,
        "separation": trial.separation,
        "behind": trial.behind,
    }


def _yaml(name: str, out: Path, result: Inspection, given: Mapping[str, object], spec: EncoderSpec) -> str:
    """Return the YAML file of an encoder, whose file is named from where the YAML is."""
    import json

    from faceinv.plugins.external import parts_of

    scheme, place = parts_of(name) or ("", name)
    if scheme in ("onnx", "torch", "torchscript"):
        relative = os.path.relpath(place, out.parent)
        name = relative if scheme == "onnx" else f"{scheme}:{relative}"
    best = result.best
    lines = [
        f"# Found by 'faceinv encoder inspect' on {best.pairs} pairs: accuracy {best.accuracy.mean:.3f} "
        f"[{best.accuracy.low:.3f}, {best.accuracy.high:.3f}].",
        f"file: {json.dumps(name, ensure_ascii=False)}",
    ]
    for fact in _TRIED:
        close = result.undecided(fact)
        note = f"  # not clearly better than {' or '.join(close)}" if close else ""
        lines.append(f"{fact}: {json.dumps(getattr(best.facts, fact))}{note}")
    lines.append(f"unit_length: {str(result.unit_length).lower()}")
    if given["output"]:
        lines.append(f"output: {json.dumps(given['output'])}")
    if scheme not in ("onnx", "hf", "timm"):
        lines += [f"dim: {result.dim}"]
    if scheme != "onnx" or given["size"]:
        lines += [f"size: {list(spec.framing.size)}"]
    return "\n".join([*lines, f"licence: {json.dumps(spec.weights_licence, ensure_ascii=False)}", ""])
