"""Broken reporters."""

from __future__ import annotations

import shutil

from breaking import breaks, good

from faceinv.contracts import RunReporter


@good("reporter")
class Notes(RunReporter):
    def run_started(self, run):
        self.out = run.out

    def cell_done(self, cell, result):
        (self.out / "notes.txt").write_text(f"{cell.label} {result.record['metrics']}")


@breaks("reporter", "has_a_method_for_every_event")
class OnlyTheEnd:
    def run_done(self, report):
        pass


@breaks("reporter", "takes_every_event")
class Rounds(Notes):
    def cell_done(self, cell, result):
        # A score that does not exist has no mean.
        self.means = {name: round(summary["mean"], 3) for name, summary in result.record["metrics"].items()}


@breaks("reporter", "takes_a_run_that_ends_early")
class Copies(Notes):
    def run_done(self, report):
        shutil.copyfile(report, self.out / "copy.html")


@breaks("reporter", "leaves_results_alone")
class Moves(Notes):
    def run_done(self, report):
        if report:
            report.rename(self.out / "moved.html")
