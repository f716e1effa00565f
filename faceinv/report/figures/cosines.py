"""Figure 9: the distribution of cosines between targets and reconstructions by an encoder that was not attacked."""

from __future__ import annotations

from faceinv.errors import InputError
from faceinv.report import paper
from faceinv.report.figures import wording
from faceinv.report.figures.inversion import study_name
from faceinv.report.figures.sheet import Drawing, blank
from faceinv.report.runs import Study
from faceinv.report.sections import DISTRIBUTIONS, roles

#: Colour of each distribution.
_COLOURS = {"impostor": "0.6", "genuine": "tab:green", "other": "tab:orange", "leaked": "tab:blue"}
#: Inches: the figure without its caption, and of it what is below and above the axes.
_WIDTH, _HEIGHT, _BELOW, _ABOVE = 6.0, 2.9, 0.45, 0.4


def figure_9(study: Study) -> Drawing:
    """Return the distributions of the cell with the most losses, by its first critic.

    Raises:
        InputError: no encoder judged the reconstructions.
    """
    column = study.fullest
    role = next(iter(roles(column)), None)
    if role is None:
        raise InputError(f"{column.folder.path} has no cosines: no encoder judged {column.losses}.")
    block = column.record.recognition[role]
    counts = []
    own = role == "attacked" or column.self_scored
    caption = (
        f"Figure 9. Cosines by {block.encoder}{' (the attacked encoder itself)' if own else ''} "
        f"of reconstructions with {column.losses}. Dashed: means that the paper reports for MoFA-Test by VGG-Face. "
    )
    caption += wording.of_study(study, critic=True, dataset=True)
    figure, height = blank(_WIDTH, _HEIGHT, caption)
    tall = (_HEIGHT - _BELOW - _ABOVE) / height
    axes = figure.add_axes((0.04, 1 - _ABOVE / height - tall, 0.92, tall))
    width = (block.bins.high - block.bins.low) / block.bins.count
    for name, text, _ in DISTRIBUTIONS:
        found = getattr(block.distributions, name)
        if found is None or not found.n:
            continue
        # At least four bins of the record to a bar where there are few pairs.
        merged = 1 if found.n >= 2000 else 2 if found.n >= 200 else 4
        bars = [sum(found.histogram[place : place + merged]) for place in range(0, len(found.histogram), merged)]
        edges = [block.bins.low + place * merged * width for place in range(len(bars))] + [block.bins.high]
        density = [bar / (found.n * merged * width) for bar in bars]
        axes.stairs(density, edges, fill=True, alpha=0.25, color=_COLOURS[name])
        axes.stairs(density, edges, color=_COLOURS[name], label=f"{text}: {found.mean:.2f} (n = {found.n:,})")
        counts.append(found.n)
    for who, value in paper.FIGURE_9.items():
        axes.axvline(value, color="0.25", linestyle="--", linewidth=0.8)
        axes.text(value, 1.0, f" {who} {value:.2f}", rotation=90, fontsize=5.5, va="top", ha="right",
                  transform=axes.get_xaxis_transform(),
                  bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5})  # fmt: skip
    axes.set(yticks=[], xlim=(-0.5, 1))
    axes.tick_params(labelsize=7)
    axes.set_xlabel(f"cosine by {block.encoder}", fontsize=7.5)
    if counts:
        # Above the axes, where no bar can be.
        axes.legend(fontsize=6, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    return Drawing(9, study_name(study), caption, figure)
