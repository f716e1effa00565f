"""The report: one self-contained HTML page that fetches and sends nothing."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import io
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from PIL import Image

from faceinv.errors import InputError, UsageError
from faceinv.report import (
    answers,
    critics,
    gallery,
    headline,
    leaks,
    paper,
    provenance,
    recognition,
    sections,
    table_1,
    tradeoffs,
    transfer,
    wording,
)
from faceinv.report.figures import probing, same_person
from faceinv.report.figures.drawing import every_reading
from faceinv.report.leak_chart import leak_chart
from faceinv.report.overlays import Measure
from faceinv.report.pictures import BUDGET, Pictures, data_uri
from faceinv.report.runs import Runs, Study
from faceinv.report.table import Table
from faceinv.report.values import Value, of_record
from faceinv.storage.audit_records import ProbeRecord
from faceinv.storage.records import FinishedCell
from faceinv.storage.schema import finite

if TYPE_CHECKING:
    from jinja2 import Environment

    from faceinv.plugins.host import Host


@dataclass(frozen=True)
class StripItem:
    """A target and its reconstruction at the top of the page."""

    target: str
    reconstruction: str
    shown: headline.Shown
    name: str


def render(
    runs: Runs,
    *,
    host: Host | None = None,
    measure: Measure | None = None,
    images: bool = True,
    groups: Sequence[Table] = (),
) -> str:
    """Return the report of ``runs`` as HTML.

    Args:
        runs: The runs.
        host: The plugins, which know the licences of weights.
        measure: Measures the overlays of pictures; ``None`` draws none.
        images: Whether to include pictures and everything else about single targets.
        groups: Tables of the groups that scores are compared by.
    """
    pictures = None
    if images:
        files = [file for study in runs.studies for file in gallery.picture_files(study)]
        # The strip at the top repeats up to ten pictures per study, and that of protections a few of every cell.
        repeated = sum(10 + tradeoffs.repeated(study) for study in runs.studies)
        pictures = Pictures.fitting(files, BUDGET - 20_000 * repeated)
    tables_1 = table_1.tables(runs.probes)
    studies = [_study(study, place, pictures, measure, runs.probes) for place, study in enumerate(runs.studies)]
    return render_template(
        "report.html.j2",
        script="report.js",
        title=_title(runs),
        runs=runs,
        images=images,
        studies=studies,
        transfer=transfer.matrices(runs),
        tables_1=tables_1,
        tables=[
            *(
                ("What does an attacker need?", "Leaks", found, leak_chart(study))
                for study in runs.studies
                if (found := leaks.table(study, runs.probes)).lines
            ),
            *(("For whom is it worse?", "Groups", table, None) for table in groups),
        ],
        drawn=_drawn(runs) if images else (),
        probe_lead=table_1.lead(tables_1),
        probe_settings=provenance.probe_settings(runs),
        weights=provenance.weights(runs, host),
        versions=provenance.versions(runs),
        failure=provenance.failure,
        probe_value=_probe_value,
        paper_source=paper.SOURCE,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=package_version(),
    )


def _drawn(runs: Runs) -> tuple[tuple[str, str], ...]:
    """Return Figures 2 and 3 and their captions, if photographs are kept and matplotlib is installed."""
    found = []
    for runs_of_one in (replace(runs, probes=(record,)) for record in runs.probes):
        with suppress(InputError, UsageError):
            for read in every_reading(runs_of_one):
                for drawing in filter(None, (probing.figure_2(read), probing.figure_3(read))):
                    image = Image.open(io.BytesIO(drawing.content("png", 130))).convert("RGB")
                    found.append((data_uri(image), drawing.caption))
    return tuple(found)


def render_template(template: str, *, script: str, **context: Any) -> str:
    """Render a template of this package with its style sheet and ``script`` inside.

    The page's content security policy forbids all requests, and all scripts except this one.
    """
    environment = _environment()
    style, code = _text("report.css"), _text(script)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            "style-src 'unsafe-inline'",
            f"script-src 'sha256-{digest}'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    return environment.get_template(template).render(
        style=Markup(style),
        script=Markup(code),
        policy=policy,
        embed=_embed,
        wording=wording,
        verdicts=sections.VERDICTS,
        **context,
    )


def _study(
    study: Study, place: int, pictures: Pictures | None, measure: Measure | None, probes: Sequence[ProbeRecord]
) -> dict[str, Any]:
    tables, figures = recognition.success(study), sections.figure_9(study)
    shown = gallery.gallery(study, pictures, measure) if pictures else None
    pairs = same_person.nearer(study, measure) if measure else ()
    return {
        "key": f"s{place}",
        "first": place == 0,
        "study": study,
        "record": study.fullest.record,
        "config": study.fullest.config,
        "labels": study.labels,
        "finding": headline.finding(study),
        "opinions": critics.opinions(study),
        "strip": _strip(study, pictures) if pictures else (),
        "scores": sections.scores(study),
        "changes": sections.changes(study),
        "figures": figures,
        "notes": list(dict.fromkeys(note for figure in figures for note in figure.notes)),
        "tradeoffs": tradeoffs.overview(study, pictures, probes),
        "encoders": recognition.encoders(study),
        "success": tables,
        "fmr": recognition.preferred(tables),
        "pairs": same_person.table(study, pairs, "", study.labels) if pairs else None,
        "ranks": recognition.identification(study),
        "curves": sections.curves(study),
        "shares": sections.shares(study),
        "gallery": shown,
        "certainty": answers.section(study, pictures),
        "settings": provenance.settings(study),
        "times": provenance.times(study),
        "learned": provenance.learned(study),
        "skipped": provenance.skipped(study),
        "left_out": provenance.left_out(study),
        "warnings": provenance.warnings(study),
        "old": any(column.record.schema_number < 2 for column in study.columns),
    }


def _strip(study: Study, pictures: Pictures) -> tuple[StripItem, ...]:
    column = study.fullest
    items = []
    for shown in headline.strip(study):
        files = column.picture(shown.index, gallery.TARGET), column.picture(shown.index)
        target, result = (pictures.uri(file) if file else "" for file in files)
        if target and result:
            items.append(StripItem(target, result, shown, column.targets[shown.index]))
    return tuple(items)


def _probe_value(record: FinishedCell, probe: str) -> tuple[Value, Value]:
    """Return the mean error of a probe on descriptors, and that of always guessing the mean."""
    return of_record(record, 2, "probes", probe, "descriptor"), of_record(record, 2, "probes", probe, "baseline")


def _title(runs: Runs) -> str:
    encoders = list(dict.fromkeys(study.first.config.encoder for study in runs.studies))
    encoders += [row.encoder for record in runs.probes for row in record.rows if row.encoder]
    names = list(dict.fromkeys(encoders))
    if not names:
        return "A run without results"
    return f"What {_listed(names)} give{'s' if len(names) == 1 else ''} away"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _embed(value: Any) -> Markup:
    """Return ``value`` as JSON in which no text can end the script element."""
    text = json.dumps(finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=PackageLoader("faceinv.report"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _text(name: str) -> str:
    return importlib.resources.files("faceinv.report").joinpath("templates").joinpath(name).read_text(encoding="utf-8")


def package_version() -> str:
    """Return the version of faceinv."""
    import importlib.metadata

    try:
        return importlib.metadata.version("faceinv")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
