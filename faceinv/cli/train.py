"""``faceinv train``: the pairs, probes and regressor of an attack, ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from faceinv.cli.application import Application
from faceinv.cli.bench import CONFIG_FILE, config_options, overrides


@click.command()
@CONFIG_FILE
@config_options
@click.option("--json", "as_json", is_flag=True, help="Print how well each probe reads as JSON.")
@click.pass_obj
def train(app: Application, /, config_file: Path | None, as_json: bool, **given: Any) -> None:
    """Train what a run would need (synthetic pairs, latent regressor, probes), and score the probes.

    Takes the options of ``bench``. What is trained is kept in the cache by a hash of everything
    that went in, and every later run with the same encoder and generator reads it from there.

    \b
    Examples:
      faceinv train --encoder arcface --losses id,lm,hist
      faceinv train --encoder facenet --losses id,lm,hist --probes paper
    """
    from dataclasses import asdict

    from rich.table import Table

    from faceinv.bench.config import load_config
    from faceinv.bench.grid import cells
    from faceinv.cli.progress import reporter
    from faceinv.cli.running import make_runner

    config, source = load_config(config_file, overrides(given))
    grid = cells(config, app.host, source)
    rows = []
    with reporter(app.console) as progress:
        runner = make_runner(app, config, grid, progress)
        done = set()
        for cell in grid:
            attack = runner.attack(cell)
            runner.prepare(cell)
            for name in cell.losses:
                probe = app.host.spec("loss", name).probe
                if probe and (id(attack), probe) not in done:
                    done.add((id(attack), probe))
                    names = {"encoder": cell.encoder, "generator": cell.generator, "probe": probe}
                    rows.append(names | {"recipe": cell.probes} | asdict(attack.probe_score(probe)))
    if as_json:
        app.print_json(rows)
        return
    table = Table("encoder", "generator", "probe", "recipe", "descriptor", "guess", "better", "n", box=None)
    for row in rows:
        better = 1 - row["descriptor"] / row["baseline"]
        table.add_row(
            row["encoder"], row["generator"], row["probe"], row["recipe"],
            f"{row['descriptor']:.2f} {row['unit']}", f"{row['baseline']:.2f}", f"{better:.1%}", str(row["n"]),
        )  # fmt: skip
    app.output.print(table)
