"""The privacy–utility section: what comes back behind each protection, against what it leaves of recognition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from faceinv.report import wording
from faceinv.report.attribute_leaks import Leak, headings, leaks
from faceinv.report.charts import Axis, horizontal, path, svg
from faceinv.report.pictures import Pictures
from faceinv.report.protections import NOT_ADAPTIVE, heading, table
from faceinv.report.runs import Column, Study
from faceinv.report.table import Table
from faceinv.storage.audit_records import ProbeRecord
from faceinv.storage.schema import Interval

_WIDTH, _HEIGHT, _STYLES = 420.0, 320.0, 10
#: Targets whose pictures are shown.
_SHOWN = 6
_WITH = {
    "key-known": "With the key",
    "key-stolen-late": "With own faces under the key",
    "key-secret": "Without the key",
}


@dataclass(frozen=True)
class Point:
    """A protection at one strength.

    Args:
        column: Its cell.
        name: The scheme, with its threat model where that is not the key.
        recognition: Share of genuine pairs that it accepts.
        identity: Share of targets whose recovered descriptor is accepted.
        picture: Share of reconstructions that the critic accepts.
        attributes: What readers trained on its templates read, by attribute.
    """

    column: Column
    name: str
    recognition: Interval | None
    identity: Interval | None
    picture: Interval | None
    attributes: Mapping[str, Leak]


@dataclass(frozen=True)
class Strip:
    """Pictures that come back behind a protection, as data URIs."""

    title: str
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """The section of a study.

    Args:
        charts: A title and a chart for each kind of privacy.
        legend: Style and name of each scheme.
        sentences: One for each cell.
        table: All numbers.
        strips: The photographs, and what comes back behind each protection.
    """

    charts: tuple[tuple[str, Markup], ...]
    legend: tuple[tuple[str, str], ...]
    sentences: tuple[str, ...]
    table: Table
    strips: tuple[Strip, ...]


def overview(study: Study, pictures: Pictures | None, probes: Sequence[ProbeRecord] = ()) -> Overview | None:
    """Return the section, or ``None`` for a study without protections.

    Args:
        study: The study.
        pictures: Reads pictures; ``None`` leaves them out.
        probes: Records of ``faceinv probe``, for what is read behind the same protections.
    """
    protected = [column for column in study.columns if column.record.protection]
    if not protected:
        return None
    rate = _rate(protected)
    points = [_point(column, rate, leaks(column, probes)) for column in protected]
    names = list(dict.fromkeys(point.name for point in points))
    plain = next((column for column in study.columns if not column.record.protection), None)
    charts: list[tuple[str, Markup]] = []
    accepted = accepted_by_critic(plain, rate) if plain else None
    kinds: list[tuple[str, str, Callable[[Point], Interval | None], Interval | None]] = [
        ("Identity", f"recovered descriptors accepted at FMR {rate:g}", lambda point: point.identity, None),
        ("Picture", f"pictures accepted by {study.first.critic}", lambda point: point.picture, accepted),
    ]
    without = leaks(plain, probes) if plain else {}
    for name, unit in headings([point.attributes for point in points]).items():
        what = f"{'2 AUC − 1' if unit == 'AUC' else unit} of the best reader of templates, %"
        kinds.append((f"Attribute {name}", what, _reading(name), without[name].share if name in without else None))
    for title, what, value, reference in kinds:
        lines = [[point for point in points if point.name == name] for name in names]
        if any(value(point) and point.recognition for point in points):
            charts.append((f"{title}: {what}", _chart(lines, value, what, rate, reference)))
    return Overview(
        tuple(charts),
        tuple((_style(place), name) for place, name in enumerate(names)),
        tuple(_sentence(point, rate, without) for point in points),
        table(study, probes),
        _strips(study, plain, protected, pictures) if pictures else (),
    )


def repeated(study: Study) -> int:
    """Return the number of pictures that the section shows again."""
    protected = any(column.record.protection for column in study.columns)
    return _SHOWN * (len(study.columns) + 1) if protected else 0


def accepted_by_critic(column: Column, rate: float) -> Interval | None:
    """Return the share of reconstructions that the critic accepts for another photograph, else for the leaked one."""
    for kind in ("II", "I"):
        for row in column.record.success:
            if (row.role, row.type, row.fmr) == ("critic", kind, rate) and row.share is not None:
                return Interval(mean=row.share, low=row.low, high=row.high)
    return None


def _rate(columns: Sequence[Column]) -> float:
    """Return the lowest false match rate that every cell has thresholds for, else the highest."""
    rates = [
        {row.fmr for row in column.record.protection.irreversibility} for column in columns if column.record.protection
    ]
    shared = set.intersection(*rates)
    return min(shared) if shared else 1e-2


def _reading(attribute: str) -> Callable[[Point], Interval | None]:
    """Return what gives a point's share of an attribute."""
    return lambda point: point.attributes[attribute].share if attribute in point.attributes else None


def _point(column: Column, rate: float, attributes: Mapping[str, Leak]) -> Point:
    block = column.record.protection
    assert block is not None, "only of cells with a protection"
    rates = block.utility.rates if block.utility else []
    return Point(
        column,
        block.scheme if block.threat == "key-known" else f"{block.scheme}, {block.threat}",
        next((row.tmr for row in rates if row.fmr == rate and row.tmr.mean is not None), None),
        next((row.success for row in block.irreversibility if row.fmr == rate), None),
        accepted_by_critic(column, rate),
        attributes,
    )


def _sentence(point: Point, rate: float, without: Mapping[str, Leak]) -> str:
    """Return what a protection is worth and costs, in words."""
    block = point.column.record.protection
    assert block is not None, "only of cells with a protection"
    name = heading(point.column).rpartition(", ")[0]
    known = _WITH[block.threat] if block.keys != "none" else "Without any key"
    if point.identity is None or point.identity.mean is None:
        back = f"the recovered descriptors have a cosine of {wording.number(block.cosine.mean, 2)} to the leaked ones"
    else:
        back = f"gives back {100 * point.identity.mean:.0f} % of the people at FMR {rate:g}"
    text = f"{known}, {name} {back}" if back.startswith("gives") else f"{known}, {back} behind {name}"
    if point.picture is not None and point.picture.mean is not None:
        text += f", and the critic accepts {100 * point.picture.mean:.0f} % of the pictures"
    if point.recognition is not None and point.recognition.mean is not None:
        text += f"; it keeps {100 * point.recognition.mean:.0f} % of the genuine comparisons"
    read = [
        f"{name} with {leak.unit} {wording.number(leak.value.mean, 2)}"
        + (f" ({wording.number(without[name].value.mean, 2)} without protection)" if name in without else "")
        for name, leak in point.attributes.items()
    ]
    if read:
        text += f". Readers trained on its templates read {', '.join(read)}"
    return f"{text}. n {point.column.record.n}." + ("" if block.adaptive else f" It was {NOT_ADAPTIVE}.")


def _style(place: int) -> str:
    """Return the classes of a scheme: a colour, and hollow marks when the colours are used up."""
    return f"c{place % _STYLES}" + (" again" if place >= _STYLES else "")


def _chart(
    lines: Sequence[Sequence[Point]],
    value: Callable[[Point], Interval | None],
    what: str,
    rate: float,
    reference: Interval | None,
) -> Markup:
    """Return a line per scheme over its strengths; private and useful is at the bottom right."""
    x, y = Axis(0, 100, 46, _WIDTH - 14), Axis(0, 100, _HEIGHT - 40, 12)
    parts = [horizontal(y, 46, _WIDTH - 14)]
    parts += [
        f'<text class="tick" x="{x.at(tick)}" y="{_HEIGHT - 24:g}" text-anchor="middle">{tick:g}</text>'
        for tick in x.ticks()
    ]
    parts.append(
        f'<text class="tick" x="{(46 + _WIDTH) / 2:g}" y="{_HEIGHT - 8:g}" text-anchor="middle">'
        f"genuine pairs accepted at FMR {rate:g}, %</text>"
    )
    if reference is not None and reference.mean is not None:
        height = y.at(100 * reference.mean)
        parts.append(f'<path class="line across" d="M46,{height}L{_WIDTH - 14:g},{height}"/>')
        parts.append(f'<text class="tick" x="50" y="{height - 4:g}">without protection</text>')
    for place, points in enumerate(lines):
        style, marks = _style(place), []
        for point in points:
            found = value(point)
            if found is None or found.mean is None or point.recognition is None or point.recognition.mean is None:
                continue
            marks.append((x.at(100 * point.recognition.mean), y.at(100 * found.mean), found, heading(point.column)))
        ordered = sorted(marks, key=lambda mark: mark[0])
        parts.append(f'<path class="line {style}" d="{path([(at, height) for at, height, _, _ in ordered])}"/>')
        for at, height, found, name in ordered:
            if found.low is not None and found.high is not None:
                low, high = y.at(100 * found.low), y.at(100 * found.high)
                parts.append(f'<line class="bar {style}" x1="{at}" x2="{at}" y1="{low}" y2="{high}"/>')
            parts.append(
                f'<circle class="end {style}" cx="{at}" cy="{height}" r="3.5"><title>{escape(name)}</title></circle>'
            )
    return svg(
        _WIDTH, _HEIGHT, what, "A line for each scheme over its strengths; low and to the right is better.", parts
    )


def _strips(study: Study, plain: Column | None, protected: Sequence[Column], pictures: Pictures) -> tuple[Strip, ...]:
    """Return the same targets behind every protection."""
    rows = range(min(_SHOWN, study.first.record.n))
    shown = [("photograph" if study.first.record.real else "target", study.first, "target")]
    shown += [("without protection", plain, "")] if plain else []
    shown += [(heading(column), column, "") for column in protected]
    strips = []
    for title, column, what in shown:
        files = [column.picture(row, what) for row in rows]
        uris = [pictures.uri(file) for file in files if file]
        strips.append(Strip(title, tuple(uri for uri in uris if uri)))
    return tuple(strips)
