"""``faceinv config``: the resolved config, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from faceinv.cli.application import Application
from faceinv.cli.options import CONFIG_FILE, config_options, overrides


@click.command()
@CONFIG_FILE
@config_options()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def config(app: Application, /, config_file: Path | None, as_json: bool, **given: Any) -> None:
    """Validate a whole config and print it resolved: the command line overrides the file, the file the defaults.

    \b
    Examples:
      faceinv config > bench.yaml
      faceinv config bench.yaml --encoder facenet
    """
    from faceinv.bench.config import load_config
    from faceinv.bench.grid import cells
    from faceinv.bench.naming import cell_id

    resolved, source = load_config(config_file, overrides(given, app.host))
    grid = cells(resolved, app.host, source)
    content = resolved.model_dump(mode="json")
    if as_json:
        app.print_json({"config": content, "cells": [cell_id(cell) for cell in grid]})
        return
    import yaml

    click.echo(yaml.safe_dump(content, sort_keys=False), nl=False)
    app.say(f"valid; {len(grid)} cell{'s' if len(grid) != 1 else ''}")
