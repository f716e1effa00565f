"""Figure 7: several photographs of one person over their reconstructions, and whether each finds its own photograph.

The figure claims that a reconstruction shows the light, the expression and the pose of the photograph that leaked, and
not only the person. This is measured here: of a reconstruction's distances to the photograph that leaked and to another
one of the same person, which is smaller? If descriptors held nothing but identity, half of them would be.

If, say, a generator's pictures are all darker than the photographs, both reconstructions of a person are nearer to the
darker photograph. So the difference of two photographs is also compared with that of their reconstructions, which such
an offset does not change: do the two differences point the same way? They do if, and only if, the reconstructions fit
their own photographs better than each other's, by the sum of squared distances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceinv.errors import InputError
from faceinv.report import wording as numbers
from faceinv.report.figures import wording
from faceinv.report.figures.inversion import study_name, tiles
from faceinv.report.figures.sheet import Drawing, FloatArray, Row, grid
from faceinv.report.gallery import TARGET
from faceinv.report.overlays import Measure
from faceinv.report.runs import Column, Study
from faceinv.report.table import Cell, Line, Table
from faceinv.scoring.statistics import Estimate, estimate

#: What is compared, as readers call it: the probe that measures it.
_ATTRIBUTES = {
    "landmarks": "landmarks",
    "pose": "pose",
    "colours": "histogram",
    "skin colour": "skin-colour",
    "direction of light": "illumination",
}
#: People in the figure.
_PEOPLE = 3


@dataclass(frozen=True)
class Nearer:
    """How often reconstructions are nearer to their own photograph than to another one of the same person.

    Args:
        attribute: What was compared.
        shares: The mean over people of each person's share, per column of the study.
        repeated: The same of the differences of two photographs that their reconstructions repeat.
    """

    attribute: str
    shares: tuple[Estimate, ...]
    repeated: tuple[Estimate, ...]


def people_of(column: Column) -> dict[str, list[int]]:
    """Return the targets of each person who has several."""
    found: dict[str, list[int]] = {}
    for index, person in enumerate(column.rows.get("identity", ())):
        if person is not None:
            found.setdefault(str(person), []).append(index)
    return {person: targets for person, targets in found.items() if len(targets) > 1}


def nearer(study: Study, measure: Measure) -> tuple[Nearer, ...]:
    """Return the shares for each attribute that can be measured; nothing if nobody has several targets."""
    people = people_of(study.first)
    every = range(len(study.first.targets))
    files = [_files(study.first, every, TARGET), *(_files(column, every) for column in study.columns)]
    if not people or not all(map(all, files)):
        return ()
    measured = [measure([file for file in of if file], study.first.config.generator, list(_ATTRIBUTES.values()))
                for of in files]  # fmt: skip
    found = []
    for attribute, probe in _ATTRIBUTES.items():
        if all(probe in item.values for item in measured):
            originals, *results = (item.values[probe] for item in measured)
            own, repeated = (
                tuple(estimate(share(originals, made, people)) for made in results)
                for share in (shares, repeated_differences)
            )
            found.append(Nearer(attribute, own, repeated))
    return tuple(found)


def shares(originals: FloatArray, results: FloatArray, people: Mapping[str, Sequence[int]]) -> list[float]:
    """Return each person's share of comparisons in which the own photograph is nearer than another; ties are half.

    Args:
        originals: An attribute of the photographs ``(N, *shape)``.
        results: The same of the reconstructions.
        people: Indices of each person's targets, at least two.
    """
    flat, made = originals.reshape(len(originals), -1), results.reshape(len(results), -1)
    found = []
    for targets in people.values():
        distances = np.linalg.norm(made[targets][:, None] - flat[targets][None], axis=2)
        own = np.diag(distances)[:, None]
        wins = (own < distances) + 0.5 * (own == distances)
        others = ~np.eye(len(targets), dtype=bool)
        found.append(float(wins[others].mean()))
    return found


def repeated_differences(
    originals: FloatArray, results: FloatArray, people: Mapping[str, Sequence[int]]
) -> list[float]:
    """Return each person's share of pairs of photographs whose difference has a positive product with that of their
    reconstructions; a product of 0 is half. For the arguments see :func:`shares`.
    """
    flat, made = originals.reshape(len(originals), -1), results.reshape(len(results), -1)
    found = []
    for targets in people.values():
        first, second = (np.array(targets)[rows] for rows in np.triu_indices(len(targets), 1))
        products = ((flat[first] - flat[second]) * (made[first] - made[second])).sum(1)
        found.append(float(((products > 0) + 0.5 * (products == 0)).mean()))
    return found


def table(study: Study, found: Sequence[Nearer], where: str, headings: Sequence[str]) -> Table:
    """Return the shares as a table, a row per attribute."""
    rows = [(item.attribute, item.shares) for item in found]
    rows += [(f"{item.attribute}: the difference", item.repeated) for item in found]
    lines = [Line(name, "%", "↑", (*(_cell(share) for share in cells), Cell("50", value=0.5))) for name, cells in rows]
    people = people_of(study.first)
    note = (
        "Share of reconstructions that are nearer to the photograph that leaked than to another one of the same person "
        f"[95 % interval over {len(people)} people with {sum(map(len, people.values()))} photographs], measured on the "
        "pictures by the probes. The difference: share of pairs of photographs of one person whose reconstructions "
        "differ in the same direction, whatever all reconstructions have in common."
    )
    return Table("same-person", where, note, (*headings, "By chance"), tuple(lines), corner="nearer in")


def figure_7(study: Study, measure: Measure) -> Drawing:
    """Return two photographs of each of some people over their reconstructions.

    Raises:
        InputError: nobody has two targets, or a picture is missing.
    """
    column, people = study.fullest, people_of(study.first)
    if not people:
        raise InputError(
            f"Figure 7 needs two targets of one person, and {column.folder.path} has none: 'faceinv bench --dataset "
            "lfw:PATH --per-person 2 --min-photographs 2' takes pairs."
        )
    order = sorted(people.values(), key=lambda targets: -_score(column, targets))
    count = min(_PEOPLE, len(order))
    places = [round(step * (len(order) - 1) / max(1, count - 1)) for step in range(count)]
    pairs = [order[place][:2] for place in places]
    rows = [
        Row(title, [tile for pair in pairs for tile in tiles(column, pair, what, scored=not what)])
        for title, what in (("photographs of\none person", TARGET), ("reconstructions", ""))
    ]
    place = study.columns.index(column)
    said = "; ".join(f"{item.attribute} {_cell(item.shares[place]).whole} %" for item in nearer(study, measure))
    caption = (
        f"Figure 7. The same person twice, with {column.losses} and the cosine by {column.critic}: {count} of "
        f"{len(people)} people at equal steps from the best to the worst by the critic. "
        + (
            f"Reconstructions nearer to their own photograph than to the other (half by chance): {said}. "
            if said
            else ""
        )
        + wording.of_study(study)
    )
    return Drawing(7, study_name(study), caption, grid(rows, caption, break_every=2))


def _files(column: Column, targets: Sequence[int], what: str = "") -> list[Path | None]:
    return [column.picture(index, what) for index in targets]


def _cell(share: Estimate) -> Cell:
    percent = Estimate(100 * share.mean, 100 * share.low, 100 * share.high, share.n)
    text = numbers.number(percent.mean, 0)
    return Cell(text, numbers.interval(percent, 0), share.mean, share.low, share.high)


def _score(column: Column, targets: Sequence[int]) -> float:
    scores = column.floats("id_sim_critic") if "id_sim_critic" in column.rows else []
    return float(np.nanmean([scores[index] for index in targets])) if scores else 0.0
