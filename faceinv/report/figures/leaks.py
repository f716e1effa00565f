"""What does an attacker need? Type II success against each kind of leak, as a figure."""

from __future__ import annotations

from faceinv.errors import InputError
from faceinv.report import wording
from faceinv.report.figures.inversion import study_name
from faceinv.report.figures.sheet import Drawing, blank
from faceinv.report.leaks import points, rate
from faceinv.report.runs import Runs, Study

_WIDTH, _STEP, _NAMES = 6.5, 0.2, 2.9
_COLOURS = {"critic": "tab:blue", "attacked": "tab:orange"}


def draw_leaks(runs: Runs) -> list[Drawing]:
    """Return a figure of each study that compares leaks.

    Raises:
        InputError: no study does.
        UsageError: matplotlib is not installed.
    """
    found = [_drawn(study) for study in runs.studies if points(study)]
    if not found:
        raise InputError(
            f"This figure compares what leaked, and {runs.paths[0]} has one leak: 'faceinv bench --leak "
            "descriptor,scores:16,dims:16' makes several."
        )
    return found


def _drawn(study: Study) -> Drawing:
    found = points(study)
    kinds = list(dict.fromkeys(point.kind for point in found))
    body = _STEP * (len(found) + len(kinds)) + 0.75
    config, record = study.first.config, study.first.record
    caption = (
        f"What does an attacker need? Share of reconstructions accepted as the person, against another photograph, at "
        f"FMR {rate(study)} [95 % Wilson interval]. {config.encoder} through {config.generator}, "
        f"{wording.of_targets(record)} ({config.dataset.partition(':')[0]}); {config.steps} steps."
    )
    figure, height = blank(_WIDTH, body, caption)
    axes = figure.add_axes((_NAMES / _WIDTH, 1 - (body - 0.45) / height, 0.97 - _NAMES / _WIDTH, (body - 0.7) / height))
    place, names = 0, list[tuple[int, str]]()
    for kind in kinds:
        axes.text(-0.98 * _NAMES / (0.97 * _WIDTH - _NAMES), place, kind, fontsize=7, weight="bold", va="center",
                  transform=axes.get_yaxis_transform())  # fmt: skip
        place += 1
        for point in (point for point in found if point.kind == kind):
            names.append((place, point.name))
            for share, colour, shift in ((point.critic, "critic", -0.15), (point.attacked, "attacked", 0.15)):
                if share is not None:
                    mean, *bounds = share
                    axes.plot(mean, place + shift, "o", color=_COLOURS[colour], markersize=3.5)
                    axes.plot(bounds, [place + shift] * 2, color=_COLOURS[colour], linewidth=1)
            place += 1
    for role, name in (("critic", study.first.critic), ("attacked", f"{config.encoder}, which leaked")):
        axes.plot([], [], "o-", color=_COLOURS[role], markersize=3.5, linewidth=1, label=name)
    figure.legend(*axes.get_legend_handles_labels(), loc="upper right", fontsize=6.5, frameon=False, ncols=2)
    axes.set(xlim=(0, 100), ylim=(place - 0.5, -0.7), yticks=[at for at, _ in names])
    axes.set_yticklabels([name for _, name in names], fontsize=6.5)
    axes.tick_params(axis="x", labelsize=7)
    axes.grid(axis="x", color="0.9")
    axes.set_xlabel("accepted, %", fontsize=7)
    return Drawing(0, study_name(study), caption, figure)
