"""Figures 5, 6 and 8: targets with their starts and reconstructions."""

from __future__ import annotations

from collections.abc import Sequence

from faceinv.errors import InputError
from faceinv.report import headline
from faceinv.report.figures import wording
from faceinv.report.figures.sheet import Drawing, Row, Tile, grid
from faceinv.report.gallery import START, TARGET
from faceinv.report.pictures import read_picture
from faceinv.report.runs import Column, Study

#: Targets in Figures 5 and 8, and in Figure 6.
_WIDE, _TALL = 6, 4
#: Headings of Figure 6, as the paper's Table 2 has them.
_HEADINGS = {"id": "ID only", "id,lm": "ID+LMs", "id,lm,hist": "ID+LMs+Hist"}
_EVENLY = "targets at equal steps from the best to the worst by the critic"


def figure_5(study: Study) -> Drawing:
    """Return targets, their starts and the results of minimising the identity loss.

    Raises:
        InputError: no cell of the study minimises the identity loss alone, or a picture is missing.
    """
    column = identity_only(study)
    shown = [item.index for item in headline.strip(study, _WIDE)]
    rows = [
        Row("input", tiles(column, shown, TARGET)),
        Row("regressed from the\ndescriptor (start)", tiles(column, shown, START)),
        Row("after minimising\nthe ID loss", tiles(column, shown, scored=True)),
    ]
    caption = (
        f"Figure 5. Direct regression and minimising the ID loss, with the cosine by {column.critic}; {len(shown)} of "
        f"{len(column.targets)} {_EVENLY} with {study.fullest.losses}. {wording.of_study(study)}"
    )
    return Drawing(5, study_name(study), caption, grid(rows, caption))


def figure_6(study: Study) -> Drawing:
    """Return targets with the reconstructions of each set of losses.

    Raises:
        InputError: the cells of the study have the same losses, or a picture is missing.
    """
    columns: dict[str, Column] = {}
    for column in study.columns:
        columns.setdefault(column.losses, column)
    if len(columns) < 2:
        raise InputError(
            f"Figure 6 compares losses on the same targets, and {_of(study)} has only '{study.first.losses}': "
            "'faceinv bench --losses id,lm,hist --ablate' computes the others."
        )
    shown = headline.strip(study, _TALL)
    rows = []
    for item in shown:
        made = (tiles(column, [item.index], scored=True) for column in columns.values())
        found = [*tiles(study.first, [item.index], TARGET), *(tile for part in made for tile in part)]
        rows.append(Row(item.place, found))
    texts = ["input", *(_HEADINGS.get(losses, losses) for losses in columns)]
    caption = (
        f"Figure 6. Losses added one by one, with the cosine by {study.fullest.critic}; {len(rows)} of "
        f"{len(study.first.targets)} {_EVENLY} with {study.fullest.losses}. {wording.of_study(study)}"
    )
    return Drawing(6, study_name(study), caption, grid(rows, caption, headings=list(enumerate(texts))))


def figure_8(study: Study) -> Drawing:
    """Return targets, the results of the identity loss alone and those of all losses; the last one is a failure.

    Raises:
        InputError: no cell has the identity loss alone, none has more, or a picture is missing.
    """
    alone, full = identity_only(study), study.fullest
    if full is alone:
        raise InputError(f"Figure 8 also shows all losses, and {_of(study)} has the identity loss alone.")
    shown = [item.index for item in headline.strip(study, _WIDE - 1)]
    errors = full.floats("landmark_error") if "landmark_error" in full.rows else []
    # As in the paper, a case in which the pose is wrong.
    left = [index for index in range(len(errors)) if index not in shown and errors[index] == errors[index]]
    failure = max(left, key=errors.__getitem__, default=None)
    evenly = len(shown)
    shown += [] if failure is None else [failure]
    rows = [
        Row("input", tiles(full, shown, TARGET)),
        Row("ID loss only", tiles(alone, shown, scored=True)),
        Row(full.losses, tiles(full, shown, scored=True)),
    ]
    last = "" if failure is None else " The last one is a failure: the largest landmark error of the other targets."
    caption = (
        f"Figure 8. Inversions by the ID loss and by all losses, with the cosine by {full.critic}; "
        f"{evenly} of {len(full.targets)} {_EVENLY} with {full.losses}.{last} {wording.of_study(study)}"
    )
    return Drawing(8, study_name(study), caption, grid(rows, caption))


def identity_only(study: Study) -> Column:
    """Return the first cell that minimises the identity loss alone.

    Raises:
        InputError: there is none.
    """
    found = next((column for column in study.columns if column.losses == "id"), None)
    if found is None:
        raise InputError(
            f"Figures 5 and 8 show the identity loss alone, and {_of(study)} has {study.first.losses}: "
            "'faceinv bench --losses id,lm,hist --ablate' computes it."
        )
    return found


def tiles(column: Column, targets: Sequence[int], what: str = "", *, scored: bool = False) -> list[Tile]:
    """Return pictures of targets: of the reconstructions, or ``what`` else is kept.

    Raises:
        InputError: a picture is missing or cannot be read.
    """
    found = []
    for index in targets:
        path = column.picture(index, what)
        if path is None:
            raise InputError(f"{column.folder.path} has no picture of '{column.targets[index]}' ({what or 'result'}).")
        try:
            picture = read_picture(path)
        except OSError as error:
            raise InputError(str(error)) from None
        score = headline.row_value(column, "id_sim_critic", index)
        found.append(Tile(picture, text=score.text if scored and score.value is not None else ""))
    return found


def _of(study: Study) -> str:
    return f"{study.first.folder.path} ({study.first.config.encoder}, {study.first.config.dataset})"


def study_name(study: Study) -> str:
    """Return what tells a study from others, as a part of a file name."""
    config = study.first.config
    return f"{config.encoder}-{config.generator}-{config.dataset.partition(':')[0]}"
