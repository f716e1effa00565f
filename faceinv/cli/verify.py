"""``faceinv verify``: check the files of runs, or the scores of a submission."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from faceinv.cli.application import Application
from faceinv.cli.options import config_options, overrides
from faceinv.errors import InputError, UsageError

if TYPE_CHECKING:
    from faceinv.bench.checking import Checked


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN… | FILE RUN")
@config_options(only=("weights", "device"))
@click.option("--dataset", metavar="NAME[:PATH]", help="Where the targets' data set is on this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print the state of every file, or of every score, as JSON.")
@click.pass_obj
def verify(app: Application, /, paths: tuple[Path, ...], dataset: str | None, as_json: bool, **given: Any) -> None:
    """Check that the files of runs are as they were written; or, given a submission, that its scores hold.

    RUN…: a record has the SHA-256 of each of its files and of itself. This finds damage and edits; it does not prove
    who wrote the run. The command that made the run repairs it.

    FILE RUN: FILE is what 'faceinv submit' wrote, and RUN the run folder or a folder of its pictures. The pictures are
    compared with the hashes in FILE, and every score is computed again from them. Prints how many digits agree.

    Exits with 1 unless every file is what its record says, or every score holds to four digits.

    \b
    Examples:
      faceinv verify runs/bench
      faceinv verify submission.json runs/bench
      faceinv verify submission.json pictures --dataset lfw:LFW
    """
    submission, *rest = paths
    if submission.is_file():
        if len(rest) != 1:
            raise UsageError(f"'{submission}' is a file: name the run, or the folder of pictures, that it belongs to.")
        whole = _check_submission(app, submission, rest[0], dataset, overrides(given, app.host), as_json)
    else:
        whole = _check_runs(app, paths, as_json)
    if not whole:
        click.get_current_context().exit(1)


def _check_runs(app: Application, runs: tuple[Path, ...], as_json: bool) -> bool:
    """Print the state of the files of runs, and return whether all are what their records say."""
    from faceinv.data.targets import read_targets
    from faceinv.storage.verifying import Verified, verify as verified

    found = [item for run in runs for item in verified(run)]
    for folder in (path for run in runs for path in sorted((run / "targets").glob("*")) if path.is_dir()):
        whole = read_targets(folder) is not None
        found.append(
            Verified(folder, "ok") if whole else Verified(folder, "changed", "the index or a target was changed")
        )
    wrong = [item for item in found if item.state != "ok"]
    if as_json:
        app.print_json([{"file": str(item.file), "state": item.state, "reason": item.reason} for item in found])
    elif wrong:
        app.print_table(("state", "file", "reason"), [(item.state, str(item.file), item.reason) for item in wrong])
    counts = Counter(item.state for item in found)
    app.say(f"{len(found)} files: {', '.join(f'{count} {state}' for state, count in sorted(counts.items()))}")
    return not wrong


def _check_submission(
    app: Application, file: Path, pictures: Path, dataset: str | None, keys: dict[str, Any], as_json: bool
) -> bool:
    """Print which scores of a submission hold, and return whether all of them do."""
    from faceinv.bench.checking import check_pictures, check_scores, differences, pictures_of
    from faceinv.bench.config import load_config
    from faceinv.bench.phases import Phase
    from faceinv.bench.rescoring import Rescorer
    from faceinv.bench.setup import make_runner
    from faceinv.cli.rescore import scored_cell
    from faceinv.storage.submissions import read_submission

    cells = read_submission(file).cells
    labels = [f"cell {number} of {len(cells)}: scoring" for number in range(1, len(cells) + 1)]
    phases = [Phase(label, 0.05 * cell.record.n, "scoring") for label, cell in zip(labels, cells, strict=True)]
    results: list[dict[str, Any]] = []
    # Nothing is written to what is checked.
    with TemporaryDirectory(prefix="faceinv-verify-") as folder, app.progress(phases) as display:
        config, _ = load_config(None, keys | {"out": folder})
        runner = make_runner(app.host, app.store, config, [], progress=display, say=app.say)
        rescorer = Rescorer(runner.resources, progress=display, say=app.say)
        for submitted, label in zip(cells, labels, strict=True):
            result: dict[str, Any] = {"cell": submitted.record.id, "n": submitted.record.n}
            results.append(result)
            try:
                kept = pictures_of(submitted, pictures)
                check_pictures(kept)
                cell = scored_cell(kept.cell, {}, dataset, app.host)
                result["notes"] = differences(kept, rescorer, app.host, cell)
                result["scores"] = list(check_scores(kept, rescorer, app.host, cell, label))
            except InputError as error:
                result["error"] = str(error)
    if as_json:
        app.print_json([item | {"scores": [_as_object(score) for score in item.get("scores", ())]} for item in results])
    else:
        _print(app, results)
    wrong = sum("error" in item or not all(score.holds for score in item["scores"]) for item in results)
    app.say(f"cells: {len(results) - wrong} hold, {wrong} {'does' if wrong == 1 else 'do'} not.")
    return not wrong


def _as_object(score: Checked) -> dict[str, Any]:
    return {**vars(score), "holds": score.holds}


def _print(app: Application, results: list[dict[str, Any]]) -> None:
    from faceinv.bench.checking import ALL

    rows = [
        (
            item["cell"][:8],
            score.score,
            "" if score.submitted is None else f"{score.submitted:.7g}",
            "" if score.recomputed is None else f"{score.recomputed:.7g}",
            "all" if score.digits == ALL else str(score.digits),
            "holds" if score.holds else "DIFFERS",
        )
        for item in results
        for score in item.get("scores", ())
    ]
    headings = ("cell", "score", "submitted", "recomputed", "digits", "")
    if rows:
        app.print_table(headings, rows, right=headings[2:5])
    for note in dict.fromkeys(note for item in results for note in item.get("notes", ())):
        app.say(note)
    for item in results:
        if "error" in item:
            app.fail(f"cell {item['cell'][:8]}: {item['error']}")
