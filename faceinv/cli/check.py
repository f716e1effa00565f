"""``faceinv plugins check``: run the conformance checks, with the meaning of each and how to fix failures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faceinv.cli.application import Application
from faceinv.errors import PluginError, UsageError, WeightsError, unknown_name
from faceinv.plugins.host import Host

if TYPE_CHECKING:
    from faceinv.testing import Outcome, PluginSubject, Subject

#: Mark and style of each status.
_MARKS = {
    "passed": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "not applicable": ("–", "dim"),
    "not run": ("?", "yellow"),
}


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--verbose", "-v", is_flag=True, help="Show the meaning of every check, not only of failed ones.")
@click.pass_obj
def check(app: Application, name: str, as_json: bool, verbose: bool) -> None:
    """Check that a plugin keeps the contracts.

    NAME is a plugin or its distribution (everything that it declares is checked), or one encoder,
    generator, probe, loss, method, metric, detector or data set (NAME:PATH if it needs a path).

    Missing weights are fetched for an object given by name, and for the default objects of a
    plugin. Exit code 5 if a check fails, 4 if none fails but the weights of the object are missing.

    \b
    Examples:
      faceinv plugins check my-encoder
      faceinv plugins check arcface.r50-ms1mv3
      faceinv plugins check arcface --json
      faceinv --plugin my_plugin.py plugins check my_plugin
    """
    from faceinv.hardware import keep_memory
    from faceinv.testing import run_checks

    keep_memory()
    subjects, wanted = _subjects(app, name)
    report: list[Outcome] = []
    for subject in subjects:
        left_out = wanted is None and _left_out(app, subject, subjects)
        outcomes = _not_here(subject) if left_out else run_checks(subject)
        report += _shown(app, str(subject), outcomes, verbose) if not as_json else list(outcomes)
    failed = [outcome for outcome in report if outcome.status == "failed"]
    missing = {(outcome.kind, outcome.name): outcome.message for outcome in report if outcome.status == "not run"}
    if as_json:
        app.print_json([dataclasses.asdict(outcome) for outcome in report])
    else:
        counts = {status: sum(item.status == status for item in report) for status in _MARKS}
        listed = ", ".join(f"{count} {status}" for status, count in counts.items() if count or status == "failed")
        app.print_line(f"{len(report)} checks of {len(subjects)} objects: {listed}.")
    if failed:
        raise PluginError(
            f"{len(failed)} checks failed: {', '.join(dict.fromkeys(f'{item.name} {item.check}' for item in failed))}."
        )
    if missing and (wanted is not None or len(missing) == sum(subject.kind != "plugin" for subject in subjects)):
        raise WeightsError(next(iter(missing.values())))


def _subjects(app: Application, name: str) -> tuple[list[Subject | PluginSubject], str | None]:
    """Return the subjects that NAME refers to, and the object's name if it refers to one."""
    from faceinv.testing import PluginSubject, Subject, subjects_of
    from faceinv.testing.checks import CHECK_MODULES

    host = app.host
    broken = [problem for problem in host.problems if name in (problem.plugin, problem.distribution.split()[0])]
    if broken:
        raise PluginError(f"{str(broken[0])[0].upper()}{str(broken[0])[1:]}.")
    if plugins := _plugins_called(host, name):
        return [
            subject
            for plugin in plugins
            for subject in subjects_of(host.manager.get_plugin(plugin), host=host, store=app.store)
        ], None
    bare, _, path = name.partition(":")
    kinds = [kind for kind in CHECK_MODULES if kind != "plugin" and host.knows(kind, bare)]
    if not kinds:
        known = {*host.distributions, *(d.split()[0] for d in host.distributions.values())}
        known |= {spec.name for kind in CHECK_MODULES if kind != "plugin" for spec in host.specs(kind)}
        raise unknown_name("plugin", bare, known, "'faceinv plugins' describes each.")
    if path and kinds != ["dataset"]:
        raise UsageError(f"A {kinds[0]} takes no path, got '{name}'; only data sets are written NAME:PATH.")
    found: list[Subject | PluginSubject] = []
    for kind in kinds:
        spec = host.spec(kind, bare)
        plugin = host.plugin_of(spec)
        if plugin is not None and not found:
            found.append(PluginSubject(host.manager.get_plugin(plugin), plugin, host))
        found.append(Subject(spec, host, store=app.store, path=Path(path) if path else None))
    return found, bare


def _plugins_called(host: Host, name: str) -> list[str]:
    """Return the plugin with this name, or all plugins of the distribution with this name."""
    if name in host.distributions:
        return [name]
    return [key for key, owner in host.distributions.items() if owner.split()[0] == name]


def _left_out(app: Application, subject: Subject | PluginSubject, among: Sequence[Subject | PluginSubject]) -> bool:
    """Return whether an object has missing weights and a default sibling that is checked in its place."""
    if subject.kind == "plugin" or all(app.store.is_here(name) for name in subject.spec.weights):
        return False
    return not subject.spec.default and sum(other.kind == subject.kind for other in among) > 1


def _not_here(subject: Subject | PluginSubject) -> Iterable[Outcome]:
    from faceinv.testing import Outcome, checks_of

    reason = f"its weights are missing; to fetch them and check it: faceinv plugins check {subject.name}"
    for item in checks_of(subject.kind):
        yield Outcome(subject.kind, subject.name, item.name, "not run", reason, item.meaning, item.fix, 0.0)


def _shown(app: Application, title: str, outcomes: Iterable[Outcome], verbose: bool) -> list[Outcome]:
    """Print the outcomes as they arrive, and return them; checks not run for the same reason share a line."""
    from rich.text import Text

    done: list[Outcome] = []
    app.print_line(Text(title, "bold"))
    reason = ""
    for outcome in outcomes:
        done.append(outcome)
        mark = _MARKS[outcome.status]
        if outcome.status == "not run":
            if outcome.message != reason:
                app.print_line(Text.assemble("  ", mark, f" not run: {outcome.message}"))
            reason = outcome.message
            continue
        note = f"  ({outcome.message})" if outcome.status == "not applicable" else ""
        app.print_line(Text.assemble("  ", mark, f" {outcome.check}{note}"))
        if verbose or outcome.status == "failed":
            app.print_line(f"      {outcome.meaning}")
        if outcome.status == "failed":
            app.print_line(Text(f"      {outcome.message}", "red"))
            app.print_line(f"      To fix it: {outcome.fix}")
    return done
