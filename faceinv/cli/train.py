"""``faceinv train``: the pairs, probes and latent regressor of an attack, ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from faceinv.cli.application import Application
from faceinv.cli.options import CONFIG_FILE, config_options, overrides


@click.command()
@CONFIG_FILE
@config_options(without=("reporter",))
@click.option(
    "--export",
    "export_to",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write what was trained to a folder, in the form that plugins ship; trains here even what is shipped.",
)
@click.option("--fresh", is_flag=True, help="Train here even what plugins ship; later runs then use that.")
@click.option("--json", "as_json", is_flag=True, help="Print the scores of the probes as JSON.")
@click.pass_obj
def train(
    app: Application, /, config_file: Path | None, export_to: Path | None, fresh: bool, as_json: bool, **given: Any
) -> None:
    """Train what a run needs (synthetic pairs, latent regressor, probes), and score the probes.

    Takes the options of ``bench``. Results are cached by a hash of all inputs; later runs with the
    same encoder and generator read them from the cache. What a plugin ships for exactly these inputs
    is not trained.

    \b
    Examples:
      faceinv train --encoder arcface --losses id,lm,hist
      faceinv train --encoder facenet --losses id,lm,hist --probes paper
      faceinv train --encoder my-encoder --export my-encoder/src/my_encoder/trained
    """
    from dataclasses import asdict

    from faceinv.bench.config import load_config
    from faceinv.bench.grid import cells
    from faceinv.bench.phases import fetch_phases, training_phases
    from faceinv.bench.setup import make_runner

    config, source = load_config(config_file, overrides(given, app.host))
    grid = cells(config, app.host, source)
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    trained: set[object] = set()
    phases = [phase for cell in grid for phase in training_phases(cell, app.host, trained)]
    with app.progress([*fetch_phases(config, grid, app.host, app.store), *phases]) as progress:
        fresh = fresh or export_to is not None
        runner = make_runner(app.host, app.store, config, grid, progress=progress, say=app.say, fresh=fresh)
        for cell in grid:
            runner.train(cell)
            for name in cell.losses:
                probe = app.host.spec("loss", name).probe
                key = (cell.encoder, cell.generator, probe, cell.probes)
                if probe and key not in rows:
                    row = dict(zip(("encoder", "generator", "probe", "recipe"), key, strict=True))
                    score = runner.preparation(cell).probe_score(probe)
                    rows[key] = row | asdict(score)
                    if not score.informed:
                        app.warn(score.misread(probe))
    if export_to is not None:
        sizes = {name: size for cell in grid for name, size in runner.preparation(cell).cache.export(export_to).items()}
        for name, size in sizes.items():
            app.say(f"{export_to / name}: {size / 1e6:.2f} MB")
        app.say(f"{len(sizes)} files, {sum(sizes.values()) / 1e6:.2f} MB in all")
    if as_json:
        app.print_json(list(rows.values()))
        return
    app.print_table(
        ("encoder", "generator", "probe", "recipe", "descriptor", "guess", "better", "n"),
        [
            (
                *(row["encoder"], row["generator"], row["probe"], row["recipe"]),
                f"{row['descriptor']:.2f} {row['unit']}",
                f"{row['baseline']:.2f}",
                f"{1 - row['descriptor'] / row['baseline']:.1%}",
                str(row["n"]),
            )
            for row in rows.values()
        ],
        right=("descriptor", "guess", "better", "n"),
    )
