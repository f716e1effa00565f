"""The command line: one file per command, imported when it is called."""

from __future__ import annotations

import io
import os
import pkgutil
import sys
from collections.abc import Sequence

import click

from faceinv.cli import completion
from faceinv.cli.application import Application
from faceinv.cli.shared import with_shared_options
from faceinv.cli.streams import own_streams
from faceinv.errors import Failure, StorageError, suggest
from faceinv.plugins.guard import ended

__all__ = ["Application", "main"]

#: Import path and one-line help of each command, so that ``faceinv --help`` imports none of them.
COMMANDS = {
    "bench": ("faceinv.cli.bench:bench", "Invert descriptors over a grid of choices and score the results."),
    "compare": ("faceinv.cli.compare:compare", "Compare runs target by target."),
    "config": ("faceinv.cli.config:config", "Validate a config and print it resolved."),
    "doctor": ("faceinv.cli.doctor:doctor", "Show what is installed and what this machine can do."),
    "embed": ("faceinv.cli.embed:embed", "Compute the descriptors of images."),
    "encoder": ("faceinv.cli.encoder:encoder", "Find out how an encoder in a file wants its images."),
    "export": ("faceinv.cli.export:export", "Write a run's tables as LaTeX, CSV, Markdown or JSON, or its figures."),
    "invert": ("faceinv.cli.invert:invert", "Reconstruct faces from your own photographs or descriptors."),
    "merge": ("faceinv.cli.merge:merge", "Merge runs that were computed separately, such as shards."),
    "plugins": ("faceinv.cli.plugins:plugins", "List what the installed plugins offer, or show one item."),
    "probe": ("faceinv.cli.probe:probe", "Infer attributes from descriptors of photographs: the paper's Table 1."),
    "protect": ("faceinv.cli.protect:protect", "Write protected templates of your own descriptors."),
    "recover": ("faceinv.cli.recover:recover", "Recover descriptors from protected templates, as an attacker would."),
    "report": ("faceinv.cli.report:report", "Write one self-contained HTML page about runs."),
    "rescore": ("faceinv.cli.rescore:rescore", "Score the pictures of a run again, without inverting again."),
    "submit": ("faceinv.cli.submit:submit", "Write a run's results into one file that others can check."),
    "suite": ("faceinv.cli.suite:suite", "Run the commands of a file, such as the whole paper."),
    "synthesize": ("faceinv.cli.synthesize:synthesize", "Generate images from latents or seeds."),
    "train": ("faceinv.cli.train:train", "Train the probes and regressors of an attack ahead of time."),
    "verify": ("faceinv.cli.verify:verify", "Check the files of runs, or recompute the scores of a submission."),
    "weights": ("faceinv.cli.weights:weights", "List, fetch and verify weights files."),
}


class LazyGroup(click.Group):
    """A group that imports its commands when they are called, and that plugins can extend."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, including those of plugins."""
        ctx.ensure_object(Application).add_plugin_commands(self)
        return sorted({*COMMANDS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return one command."""
        app = ctx.ensure_object(Application)
        # A suite runs commands of both kinds.
        app.foreign_command = name not in COMMANDS
        if name in COMMANDS:
            return with_shared_options(pkgutil.resolve_name(COMMANDS[name][0]))
        app.add_plugin_commands(self)
        found = super().get_command(ctx, name)
        return with_shared_options(found) if found else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the closest command if the name is unknown."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(f"Unknown command '{name}'.{suggest(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        rows = []
        for name in self.list_commands(ctx):
            own = self.commands.get(name)
            rows.append((name, COMMANDS[name][1] if name in COMMANDS else own.get_short_help_str(80) if own else ""))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


_VERSION = "Show the versions of faceinv, torch and the plugins, and exit."


def _show_version(ctx: click.Context, option: click.Parameter, asked: bool) -> None:
    if not asked or ctx.resilient_parsing:
        return
    from faceinv.cli.doctor import versions

    app = ctx.ensure_object(Application)
    found = versions(app.host)
    app.print_line(f"faceinv {found.pop('faceinv')}")
    for name, version in found.items():
        app.print_line(f"{name} {version}")
    ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="--plugin, --no-plugins, --offline and --trust-sha256 are accepted after the command, too. "
    "Exit codes: 0 success, 1 failure, 2 usage, 3 input, 4 weights, 5 plugin, 6 storage, 130 interrupted.",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help=_VERSION)
def cli() -> None:
    """Measure what a face descriptor gives away.

    \b
    Try:
      faceinv bench --encoder arcface --losses id,lm,hist
      faceinv plugins
    """


with_shared_options(cli, hidden=False)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with a documented code."""
    if completion.is_asked():
        cli.main(prog_name="faceinv", obj=Application())
    with own_streams():
        code = run_command(Application(), args)
    sys.exit(code)


def run_command(app: Application, args: Sequence[str] | None) -> int:
    """Run the command line and return its exit code; every error is one line."""
    try:
        code = cli.main(args=args, prog_name="faceinv", obj=app, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)
        usage, _, message = text.getvalue().partition("Error: ")
        app.console.print(usage, end="", soft_wrap=True)
        app.fail(message.rstrip())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        app.fail("Interrupted. Finished work is kept; run the same command again to continue.")
        return 130
    except OSError as error:
        reason = error.strerror or str(error)
        app.fail(f"{reason}: {error.filename}" if error.filename else f"{reason}.")
        return StorageError.exit_code
    except SystemExit as stop:
        if app.foreign_command:
            raise
        return _failed(app, Failure.of(app.host.blamed(ended(stop))))
    except Exception as error:
        host = app.__dict__.get("host")
        return _failed(app, Failure.of(host.blamed(error) if host else error))
    return code if isinstance(code, int) else 0


def _failed(app: Application, failure: Failure) -> int:
    app.fail(failure.text)
    if os.environ.get("FACEINV_TRACEBACK"):
        sys.stderr.write(failure.traceback)
    elif failure.traceback and failure.exit_code == 1:
        app.say("This is a bug in faceinv. Please report it with what FACEINV_TRACEBACK=1 prints before the command.")
    return failure.exit_code
