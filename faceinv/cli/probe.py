"""``faceinv probe``: what can be read from the descriptors of a data set, the paper's Table 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from faceinv.bench.config import defaults
from faceinv.cli.application import Application
from faceinv.errors import UsageError

#: Samples of the generator where --limit does not say.
_SAMPLES = 5000


def _listed(values: tuple[str, ...]) -> list[str]:
    """Return the names of repeatable options that also take commas, once each."""
    return list(dict.fromkeys(name.strip() for value in values for name in value.split(",") if name.strip()))


@click.command()
@click.option("--encoder", "encoders", multiple=True, metavar="NAME", help="Encoder to audit; may repeat.")
@click.option("--dataset", required=True, metavar="NAME:PATH", help="Photographs, such as lfw:PATH or celeba:PATH.")
@click.option(
    "--generator", default=defaults()["generator"][0], show_default=True, help="Whose samples 'synthetic' takes."
)
@click.option("--labels", type=click.Path(path_type=Path), metavar="FILE.csv", help="Annotations of the images.")
@click.option("--attributes", multiple=True, metavar="A,B,…", help="Annotations and probes to read; or all.")
@click.option("--recipe", "recipes", multiple=True, metavar="A,B", help="How heads are trained: tuned, paper, or both.")
@click.option("--image/--no-image", default=True, show_default=True, help="Read the photographs too, for comparison.")
@click.option("--backbone", default="lcnet_050", show_default=True, help="timm model that reads the photographs.")
@click.option("--image-epochs", type=click.IntRange(1), default=24, show_default=True, help="Its passes over them.")
@click.option("--limit", type=click.IntRange(1), help="Use this many images, evenly from all.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of trainings and intervals.")
@click.option(
    "--detector",
    default=defaults()["detector"],
    show_default=True,
    help="Finds faces where it is not known where they are.",
)
@click.option("--weights", multiple=True, metavar="[NAME=]FILE", help="Your own weights file.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, …")
@click.option(
    "--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True, help="Of the encoder."
)
@click.option("--compile/--eager", default=False, help="Make the encoder by torch.compile.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/probe"), show_default=True, help="Run folder."
)
@click.option("--json", "form", flag_value="json", help="Print the rows as JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print the rows as CSV, a line for each score.")
@click.option("--markdown", "form", flag_value="markdown", help="Print the tables as Markdown.")
@click.option("--latex", "form", flag_value="latex", help="Print the tables as LaTeX (booktabs).")
@click.option(
    "--figures", is_flag=True, help="Draw examples. They show photographs of the data set: only where you may."
)
@click.pass_obj
def probe(app: Application, /, form: str | None, figures: bool, out: Path, **given: Any) -> None:
    """Read attributes from the descriptors of photographs, and score what is read of people never trained on.

    Beside it stand always the same guess, and a network that sees the photograph. Annotations of the data set and
    probes are both attributes; without --attributes: smiling, wearing_hat and eyeglasses where the data set has
    them, landmarks, histogram, pose, colours and light. What was computed is never computed again.

    \b
    Examples:
      faceinv probe --encoder arcface --dataset celeba:CelebA
      faceinv probe --encoder facenet --encoder arcface --dataset lfw:lfw --recipe tuned,paper
      faceinv probe --dataset folder:photos --labels labels.csv --attributes beard,landmarks --json
      faceinv probe --encoder arcface --dataset synthetic
    """
    from faceinv.audit.audit import Audit
    from faceinv.audit.image_reader import ImageRecipe
    from faceinv.audit.settings import AuditSettings
    from faceinv.cli.progress import reporter
    from faceinv.cli.running import checked_device
    from faceinv.contracts.data import DatasetContext
    from faceinv.contracts.specs import DatasetSpec
    from faceinv.data.opening import open_dataset, parse_dataset
    from faceinv.models.loader import Loader
    from faceinv.report import audit_tables as tables
    from faceinv.storage.cache import cache_folder
    from faceinv.storage.hashing import file_sha256
    from faceinv.storage.probe_folder import ProbeFolder

    encoders = _listed(given["encoders"]) or [defaults()["encoder"][0]]
    specs = [app.host.spec("encoder", name) for name in encoders]
    loader = Loader(
        app.host, app.store, files=_files(app, given["weights"], specs[0].name), device=checked_device(given["device"])
    )
    labels: Path | None = given["labels"]
    context = DatasetContext(None, None, "", given["seed"], given["limit"], labels)
    named: DatasetSpec = app.host.spec("dataset", parse_dataset(app.host, given["dataset"])[0])
    if not named.real:
        generator = loader.generator(given["generator"])
        limit = given["limit"] or _SAMPLES
        context = DatasetContext(generator.network, generator.framing, generator.space(), given["seed"], limit, labels)
    dataset, dataset_spec = open_dataset(app.host, given["dataset"], context)
    image = ImageRecipe(backbone=given["backbone"], epochs=given["image_epochs"]) if given["image"] else None
    settings = AuditSettings(
        dataset=given["dataset"],
        labels=file_sha256(labels) if labels else "",
        attributes=tuple(_listed(given["attributes"])),
        recipes=tuple(_listed(given["recipes"])) or ("tuned",),
        detector=app.host.spec("detector", given["detector"]).name if dataset.framing is None else "",
        limit=given["limit"],
        seed=given["seed"],
        image=image,
        precision=given["precision"],
        compile=given["compile"],
    )
    folder = ProbeFolder(out)
    with reporter(app.console) as progress:
        audit = Audit(
            loader, dataset, dataset_spec, settings,
            folder=folder, cache=cache_folder(), progress=progress, say=app.say,
        )  # fmt: skip
        if not audit.attributes:
            raise UsageError("There is nothing to read: the data set has no annotations and no probe is installed.")
        records = [audit.run(spec.name) for spec in specs]
    rows = tables.unique_rows([row for record in records for row in record["rows"]])
    table, detail = tables.table_1_cells(rows), tables.detail_cells(rows)
    title = f"Read from descriptors of {given['dataset']}, {_who(records[0])}"
    if form == "json":
        app.print_json(rows)
    elif form == "csv":
        click.echo(tables.as_csv(rows), nl=False)
    elif form == "markdown":
        click.echo(f"{tables.as_markdown(table)}\n\n{tables.as_markdown(detail)}\n\n{tables.NOTE}")
    elif form == "latex":
        click.echo(tables.as_latex(table, f"{title}. {tables.NOTE}"))
    else:
        app.output.print(tables.rich_table(table, f"Table 1. {title}"))
        app.output.print()
        app.output.print(
            tables.rich_table(detail, "All scores, 95 % intervals over people; leakage: from baseline to image")
        )
        app.output.print(f"\n{tables.NOTE}", markup=False)
    _say_skipped(app, records[0])
    if figures:
        from faceinv.audit.figures import draw_figures

        for path in draw_figures(audit, folder, records[-1]):
            app.say(f"picture: {path}")
    for record in records:
        app.say(f"record: {folder.record_path(record['id'])}")


def _files(app: Application, given: tuple[str, ...], first: str) -> dict[str, Path]:
    """Return the user's own weights files, by the spec's full name."""
    files = {}
    for entry in given:
        name, _, file = entry.rpartition("=")
        kind = next((kind for kind in ("encoder", "probe") if app.host.knows(kind, name)), "encoder")
        files[app.host.spec(kind, name or first).name] = Path(file)
    return files


def _who(record: dict[str, Any]) -> str:
    images, people = record["dataset"]["images"], record["dataset"]["people"]
    of = f" of {people['test']} people never trained on" if people else ", who is in them is not known"
    return f"{images['test']} photographs{of}"


def _say_skipped(app: Application, record: dict[str, Any], most: int = 10) -> None:
    skipped = record["skipped"]
    for name, reason in skipped[:most]:
        app.say(f"skipped {name}: {reason}")
    if len(skipped) > most:
        app.say(f"skipped {len(skipped) - most} more; the record lists them all")
