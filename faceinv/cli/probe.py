"""``faceinv probe``: attribute inference from the descriptors of a data set, the paper's Table 1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faceinv.bench.phases import Phase
from faceinv.cli.application import Application
from faceinv.cli.completion import names_of
from faceinv.cli.groups import GroupTables, Wanted, group_options
from faceinv.cli.options import Standard, config_options, named_files
from faceinv.contracts.protection_specs import KEY_KNOWN, THREATS
from faceinv.errors import UsageError

#: Photographs in a data set whose number is not known yet.
_MANY = 10_000

if TYPE_CHECKING:
    from faceinv.audit.audit import Audit
    from faceinv.storage.audit_records import ProbeRecord


def _listed(values: tuple[str, ...]) -> list[str]:
    """Return the distinct names in an option that may be repeated and takes commas."""
    return list(dict.fromkeys(name.strip() for value in values for name in value.split(",") if name.strip()))


@click.command()
@click.option("--encoder", "encoders", multiple=True, metavar="NAME", help="Encoder to audit; may be repeated.")
@click.option("--dataset", required=True, metavar="NAME:PATH", help="Photographs, such as lfw:PATH or celeba:PATH.")
@click.option("--generator", default=Standard("generator"), show_default=True, help="Generator for 'synthetic'.")
@click.option("--labels", type=click.Path(path_type=Path), metavar="FILE.csv", help="Annotations of the images.")
@click.option("--attributes", multiple=True, metavar="A,B,…", help="Annotations and probes to read.")
@click.option(
    "--recipe", "recipes", multiple=True, metavar="A,B", help="Recipe of the heads: tuned, paper, linear, or several."
)
@click.option(
    "--image/--no-image", default=True, show_default=True, help="Also infer from the photographs, for comparison."
)
@click.option("--backbone", default="lcnet_050", show_default=True, help="timm model for the photographs.")
@click.option("--image-epochs", type=click.IntRange(1), default=24, show_default=True, help="Epochs of that model.")
@click.option("--limit", type=click.IntRange(1), help="Number of images, taken evenly from all.")
@click.option(
    "--protect",
    multiple=True,
    metavar="NAME[:OPTION=VALUE],…",
    shell_complete=names_of("protection"),
    help="Protections of the descriptors, such as none,leace:smiling; readers are trained anew on the templates.",
)
@click.option(
    "--threat",
    "threats",
    multiple=True,
    metavar="NAME,…",
    help=f"What the attacker has of a protected system: {', '.join(THREATS)}. By default {KEY_KNOWN}.",
)
@config_options(only=("leak", "knowledge", "surrogate"))
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of training and intervals.")
@click.option(
    "--detector", default=Standard("detector"), show_default=True, help="Finds faces in photographs without a framing."
)
@click.option("--weights", multiple=True, metavar="[NAME=]FILE", help="Your own weights file.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, …")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Precision of the encoder.",
)
@click.option("--compile/--eager", default=False, help="Compile the encoder with torch.compile.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/probe"), show_default=True, help="Run folder."
)
@click.option("--json", "form", flag_value="json", help="Print the rows as JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print the rows as CSV, one line per score.")
@click.option("--markdown", "form", flag_value="markdown", help="Print the tables as Markdown.")
@click.option("--latex", "form", flag_value="latex", help="Print the tables as LaTeX (booktabs).")
@click.option(
    "--figures",
    is_flag=True,
    help="Draw examples. They show photographs of the data set; check its licence before sharing.",
)
@group_options
@click.pass_obj
def probe(
    app: Application,
    /,
    encoders: tuple[str, ...],
    attributes: tuple[str, ...],
    recipes: tuple[str, ...],
    image: bool,
    backbone: str,
    image_epochs: int,
    weights: tuple[str, ...],
    device: str,
    protect: tuple[str, ...],
    threats: tuple[str, ...],
    leak: tuple[str, ...],
    knowledge: tuple[str, ...],
    surrogate: str | None,
    form: str | None,
    figures: bool,
    groups: str | None,
    group_labels: Path | None,
    **given: Any,
) -> None:
    """Infer attributes from the descriptors of photographs, scored on people that were not used for training.

    Each score is compared with a constant guess and with a network that sees the photograph. Annotations of the
    data set and probes are both attributes. Without --attributes: smiling, wearing_hat and eyeglasses if the data
    set has them, landmarks, histogram, pose, colours and light. Nothing is computed twice.

    \b
    Examples:
      faceinv probe --encoder arcface --dataset celeba:CelebA
      faceinv probe --encoder facenet --encoder arcface --dataset lfw:lfw --recipe tuned,paper
      faceinv probe --dataset folder:photos --labels labels.csv --attributes beard,landmarks --json
      faceinv probe --encoder arcface --dataset synthetic
      faceinv probe --dataset lfw:lfw --attributes smiling --recipe tuned,linear --protect none,leace:smiling
      faceinv probe --dataset lfw:lfw --protect none,biohash:bits=96 --threat key-known,key-secret
      faceinv probe --dataset lfw:lfw --leak descriptor,dims:64:random,bits:1,scores:32
      faceinv probe --dataset lfw:lfw --knowledge encoder,pairs:100,pairs:1000 --surrogate sface
      faceinv probe --dataset lfw:lfw --attributes smiling,male,landmarks --groups predicted:male
    """
    from faceinv.audit.exposure import exposures
    from faceinv.audit.image_reader import ImageRecipe
    from faceinv.audit.setup import make_audit
    from faceinv.bench.setup import make_loader

    wanted = Wanted.taken(groups, group_labels)
    if wanted and form:
        raise UsageError(f"--groups prints its tables as text; omit --{form}, or add --groups to 'faceinv report'.")
    names = [app.host.spec("encoder", name).name for name in _listed(encoders) or [Standard("encoder")()]]
    loader = make_loader(app.host, app.store, weights=named_files(weights, names[0], app.host), device=device)
    exposed = [
        (name, exposure)
        for name in names
        for exposure in exposures(
            app.host, app.host.spec("encoder", name), protect=_listed(protect), threats=_listed(threats),
            leaks=_listed(leak), knowledge=_listed(knowledge), surrogate=surrogate or "",
        )
    ]  # fmt: skip
    by_paper = image and "paper" in _listed(recipes)
    phases = _phases(len(exposed), given["limit"] or _MANY, image_epochs if image else 0, by_paper)
    with app.progress(phases) as progress:
        audit = make_audit(
            loader,
            attributes=_listed(attributes),
            recipes=_listed(recipes),
            image=ImageRecipe(backbone=backbone, epochs=image_epochs) if image else None,
            progress=progress,
            say=app.say,
            **given,
        )
        audit.require_files(exposed)
        records = [audit.run(*item) for item in exposed]
    _print_tables(app, records, form)
    if wanted:
        _print_groups(app, audit, records, wanted)
    _say_skipped(app, records[0])
    if figures:
        _draw(app, audit, records)
    for record in records:
        app.say(f"record: {audit.folder.record_path(record.id)}")


def _phases(encoders: int, images: int, image_epochs: int, by_paper: bool) -> list[Phase]:
    """Return what an audit of this many encoders and images does, with usual times on two cores."""
    phases = [Phase("embedding images", 0.03 * images), Phase("training heads", 10 + 0.003 * images)]
    if image_epochs:
        phases += [
            Phase("measuring images", 0.01 * images),
            Phase("training on photographs", 0.003 * images * image_epochs),
        ]
    if by_paper:
        phases.append(Phase("training the paper's network", 0.03 * images))
    return phases * encoders


def photographs(app: Application, arguments: list[str]) -> tuple[int, int]:
    """Return how many photographs ``faceinv probe`` with these arguments embeds, and for how many encoders."""
    from faceinv.contracts.data import DatasetContext
    from faceinv.data.opening import open_dataset

    given = probe.make_context("probe", arguments, obj=app).params
    limit = given["limit"]
    if limit is None:
        context = DatasetContext(None, None, "", given["seed"], None, given["labels"])
        limit = len(open_dataset(app.host, given["dataset"], context)[0].ids)
    return limit, len(_listed(given["encoders"])) or 1


def _draw(app: Application, audit: Audit, records: list[ProbeRecord]) -> None:
    """Keep the photographs that Figures 2 and 3 show, and draw both for each encoder and recipe."""
    from faceinv.report.figures import probing
    from faceinv.storage.atomic import write_atomically

    for record in records:
        for read in probing.readings(audit.folder, record):
            audit.keep_photographs(record, read.shown())
            for drawing in filter(None, (probing.figure_2(read), probing.figure_3(read))):
                path = audit.folder.path / f"figure-{drawing.number}-{drawing.name}.png"
                write_atomically(path, drawing.content("png"))
                app.say(f"picture: {path}")


def _print_tables(app: Application, records: list[ProbeRecord], form: str | None) -> None:
    from faceinv.report import table_1
    from faceinv.report.table import as_latex, as_markdown, for_terminal

    rows = [row for _, _, row in table_1.unique(records)]
    title = f"Table 1. Read from descriptors of {records[0].dataset.name}, {_who(records[0])}"
    tables = [replace(table_1.printed(item, table_1.NOTE), title=title) for item in table_1.tables(records)]
    if form == "json":
        app.print_json([row.as_json() for row in rows])
    elif form == "csv":
        click.echo(table_1.as_csv(rows), nl=False)
    elif form == "markdown":
        click.echo(as_markdown([*tables, table_1.details(records)]), nl=False)
    elif form == "latex":
        click.echo(as_latex(tables), nl=False)
    else:
        for table in [*tables, table_1.details(records)]:
            app.output.print(for_terminal(table, app.output.width))


def _print_groups(app: Application, audit: Audit, records: list[ProbeRecord], wanted: Wanted) -> None:
    from faceinv.report.runs import read_runs
    from faceinv.report.table import for_terminal

    runs = read_runs((audit.folder.path,))
    own = {record.id for record in records}
    runs = replace(runs, studies=(), probes=tuple(record for record in runs.probes if record.id in own))
    for table in GroupTables(app, wanted, audit.loader).of_runs(runs):
        app.output.print(for_terminal(table, app.output.width))


def _who(record: ProbeRecord) -> str:
    images, people = record.dataset.images, record.dataset.people
    of = f" of {people['test']} people not used for training" if people else " of unknown identity"
    return f"{images['test']} photographs{of}"


def _say_skipped(app: Application, record: ProbeRecord, most: int = 10) -> None:
    skipped = record.skipped
    for name, reason in skipped[:most]:
        app.say(f"skipped {name}: {reason}")
    if len(skipped) > most:
        app.say(f"skipped {len(skipped) - most} more, listed in the record")
