"""``faceinv invert``: your own photographs or descriptors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faceinv.cli.application import Application
from faceinv.cli.options import config_options, overrides
from faceinv.cli.report import OPEN, finish, make_report
from faceinv.errors import InputError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from faceinv.attack.preparation import Preparation
    from faceinv.bench.cell import Cell
    from faceinv.bench.runner import Runner
    from faceinv.contracts.methods import Inversion

#: Name of the record of the last call.
_RECORD = "inverted"
#: Keys without an option: all inputs are targets, pairs are scored one by one, and no threshold is measured.
_UNUSED = (
    "dataset",
    "labels",
    "limit",
    "per_person",
    "min_photographs",
    "skip",
    "ablate",
    "recognition",
    "recognition_limit",
)


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE|DESCRIPTOR.npy…")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Config file.")
@config_options(without=_UNUSED)
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON.")
@OPEN
@click.pass_obj
def invert(
    app: Application, /, inputs: tuple[Path, ...], config_file: Path | None, as_json: bool, open_it: bool, **given: Any
) -> None:
    """Reconstruct faces from photographs (embedded first) or from descriptors in .npy files.

    Writes one PNG per descriptor to --out (``inverted`` by default). For photographs it also writes the
    aligned target and scores the pair. report.html shows all results.

    \b
    Examples:
      faceinv invert portrait.jpg
      faceinv invert leaked.npy --encoder arcface --losses id,lm,hist --out reconstructed
    """
    from faceinv.bench.config import TARGETS, load_config
    from faceinv.bench.grid import cells
    from faceinv.bench.setup import make_runner
    from faceinv.cli.progress import reporter

    config, source = load_config(config_file, {"out": Path("inverted")} | overrides(given))
    grid = cells(config, app.host, source)
    if len(grid) > 1:
        raise UsageError(
            f"invert takes one value per option; these options make a grid of {len(grid)}. Use 'faceinv bench' instead."
        )
    cell = replace(grid[0], recognition=TARGETS, recognition_limit=0)
    for warning in cell.warnings:
        app.warn(warning)
    with reporter(app.console) as progress:
        runner = make_runner(app.host, app.store, config, grid, progress=progress, say=app.say)
        names, descriptors, targets = _read(inputs, runner, cell)
        inversion = runner.invert(cell, descriptors, names)
        rows = _write_and_score(runner, cell, config.out, names, descriptors, targets, inversion)
        _write_record(runner, cell, config.out, rows, descriptors, targets, inversion)
    if as_json:
        app.print_json(rows)
    else:
        _print_table(app, rows)
    finish(app, make_report(app, (config.out,), loader=runner.loader), open_it)


def _print_table(app: Application, rows: list[dict[str, Any]]) -> None:
    metrics = list(dict.fromkeys(key for row in rows for key in row if key not in ("name", "file")))
    scores = [[f"{row[key]:.3f}" if key in row else "" for key in metrics] for row in rows]
    lines = [(row["name"], row["file"], *values) for row, values in zip(rows, scores, strict=True)]
    app.print_table(("descriptor", "picture", *metrics), lines, right=metrics)


def _read(inputs: tuple[Path, ...], runner: Runner, cell: Cell) -> tuple[list[str], Tensor, dict[int, Tensor]]:
    """Return a name and a descriptor for each face, and the aligned photographs by row."""
    import torch

    from faceinv.cli.files import read_array
    from faceinv.data.alignment import align_photograph
    from faceinv.data.images import read_image
    from faceinv.models.loader import check_descriptors
    from faceinv.scoring.pairs import embed_all

    attack: Preparation = runner.preparation(cell)
    names: list[str] = []
    rows: list[Tensor] = []
    targets: dict[int, Tensor] = {}
    for path in inputs:
        if path.suffix == ".npy":
            array = torch.from_numpy(read_array(path, "descriptors"))
            try:
                check_descriptors(array, attack.encoder.spec)
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
            names += [path.stem if len(array) == 1 else f"{path.stem}-{row}" for row in range(len(array))]
            rows += list(array)
            continue
        image = read_image(path)
        try:
            aligned = align_photograph(image, runner.loader.detector(cell.detector), attack.generator.framing)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        targets[len(rows)] = aligned
        names.append(path.stem)
        rows.append(embed_all(attack.encoder, aligned[None].to(runner.loader.device))[0])
    return _distinct(names), torch.stack(rows), targets


def _distinct(names: list[str]) -> list[str]:
    """Number repeated names: two folders may each have a face.jpg."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return result


def _write_and_score(
    runner: Runner,
    cell: Cell,
    out: Path,
    names: list[str],
    descriptors: Tensor,
    targets: dict[int, Tensor],
    inversion: Inversion,
) -> list[dict[str, Any]]:
    import torch

    from faceinv.data.images import write_image
    from faceinv.data.targets import Targets
    from faceinv.scoring.pairs import embed_all
    from faceinv.storage.columns import baseline

    out.mkdir(parents=True, exist_ok=True)
    results = inversion.images
    reached = embed_all(runner.preparation(cell).encoder, results.to(runner.loader.device))
    cosines = torch.nn.functional.cosine_similarity(reached, descriptors)
    rows: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        file = out / f"{name}.png"
        write_image(results[index], file)
        write_image(inversion.start[index], out / f"{name}-start.png")
        rows.append({"name": name, "file": str(file), "id_sim_attacked": float(cosines[index])})
    if targets:
        which = list(targets)
        images = torch.stack([targets[index] for index in which])
        photographs = Targets(ids=tuple(names[index] for index in which), identities=None, real=True, skipped=())
        columns = runner.judge.columns(cell, photographs, images, results[which])
        for position, index in enumerate(which):
            write_image(targets[index], out / f"{names[index]}-target.png")
            rows[index] |= {key: values[position] for key, values in columns.items() if not baseline(key)}
    return rows


def _write_record(
    runner: Runner,
    cell: Cell,
    out: Path,
    rows: list[dict[str, Any]],
    descriptors: Tensor,
    targets: dict[int, Tensor],
    inversion: Inversion,
) -> None:
    """Write a record of this call, so that the report can read it as a run."""
    from faceinv.bench.record import inverted_record
    from faceinv.storage.run_folder import RunFolder

    attack, host = runner.preparation(cell), runner.loader.host
    names = list(dict.fromkeys(key for row in rows for key in row if key not in ("name", "file")))
    columns = {name: [row.get(name) for row in rows] for name in names}
    probes = [probe for name in cell.losses if (probe := host.spec("loss", name).probe)]
    folder = RunFolder(out)
    folder.write_rows(_RECORD, {"target": [row["name"] for row in rows], **columns})
    if probes:
        folder.write_attributes(_RECORD, {name: attack.read(name, descriptors).numpy() for name in probes})
    record = inverted_record(
        _RECORD,
        cell,
        host,
        {name: value for name, value in runner.resources.weights(cell).items() if name != "data set"},
        [Path(row["file"]).stem for row in rows],
        columns,
        descriptors,
        inversion,
        {name: attack.probe_score(name) for name in probes},
        batch_size=runner.batch_size(cell),
        photographs=len(targets),
    )
    folder.write(record)
