"""All figures of the paper that runs have the data for, by number."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from faceinv.errors import InputError
from faceinv.report.figures import cosines, inversion, probing, same_person
from faceinv.report.figures.sheet import Drawing
from faceinv.report.overlays import Measure
from faceinv.report.runs import Runs, Study
from faceinv.storage.probe_folder import ProbeFolder

#: The figures that are drawn; 1 and 4 are diagrams of the method.
NUMBERS = (2, 3, 5, 6, 7, 8, 9)


def draw(runs: Runs, number: int, measure: Measure) -> list[Drawing]:
    """Return a figure of the paper for each part of the runs that has it: an encoder's readings, or a study.

    Args:
        runs: The runs.
        number: One of :data:`NUMBERS`.
        measure: Measures attributes on pictures, for Figure 7.

    Raises:
        InputError: no part has the data; the message says what would compute it.
        UsageError: matplotlib is not installed.
    """
    if number in (2, 3):
        return _of_probes(runs, number)
    of_number: dict[int, Callable[[Study], Drawing]] = {
        5: inversion.figure_5,
        6: inversion.figure_6,
        7: lambda study: same_person.figure_7(study, measure),
        8: inversion.figure_8,
        9: cosines.figure_9,
    }
    found, reasons = [], []
    for study in runs.studies:
        try:
            found.append(of_number[number](study))
        except InputError as error:
            reasons.append(str(error))
    if not found:
        raise InputError(reasons[0] if reasons else f"Figure {number} shows inversions, and {_of(runs)} has none.")
    return found


def _of_probes(runs: Runs, number: int) -> list[Drawing]:
    draw_one = probing.figure_2 if number == 2 else probing.figure_3
    found, reasons = [], []
    for read in every_reading(runs):
        try:
            found += [drawing for drawing in [draw_one(read)] if drawing]
        except InputError as error:
            reasons.append(str(error))
    if not found:
        what = "binary attributes" if number == 2 else "landmarks or histograms"
        nothing = f"Figure {number} shows {what} read by 'faceinv probe --figures', and {_of(runs)} has none."
        raise InputError(reasons[0] if reasons else nothing)
    return found


def every_reading(runs: Runs) -> Iterator[probing.Readings]:
    """Yield what each recipe read from the descriptors of each encoder."""
    folders = [ProbeFolder(path) for path in runs.paths]
    for record in runs.probes:
        folder = next(folder for folder in folders if folder.record_path(record.id).is_file())
        yield from probing.readings(folder, record)


def _of(runs: Runs) -> str:
    return str(runs.paths[0])
