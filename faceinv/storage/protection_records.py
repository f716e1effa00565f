"""The part of a record that concerns a protection: what it costs, what an attack recovers, whether keys unlink."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from faceinv.storage.schema import Count, Interval, Model, Number, Share


class RateRow(Model):
    """The protected system at one false match rate, next to the unprotected one on the same photographs."""

    fmr: Annotated[float, Field(gt=1e-12, le=1)]
    """False match rate."""
    threshold: Number | None
    """Score from which two templates are accepted; ``null`` with too few pairs."""
    plain_threshold: Number | None
    """Cosine from which two descriptors are accepted."""
    tmr: Interval
    """Share of genuine pairs accepted; the interval is over people."""
    plain: Interval
    """The same without protection."""
    difference: Interval
    """Paired difference, protected minus unprotected."""
    reason: str | None = None
    """Why there is no threshold."""


class Utility(Model):
    """How well templates tell people apart when all are stored under one key, which the attacker may present too."""

    source: str
    """Data set of the photographs, or ``targets``."""
    photographs: Count
    """Photographs compared."""
    people: Count
    """People on them."""
    eer: Share | None
    """Equal error rate of templates."""
    plain_eer: Share | None
    """Equal error rate of descriptors."""
    rates: list[RateRow]
    """One row for each false match rate."""
    rank_1: Interval
    """Share of photographs whose nearest other photograph shows the same person."""
    plain_rank_1: Interval
    """The same without protection."""
    rank_1_difference: Interval
    """Paired difference, protected minus unprotected."""


class IrreversibilityRow(Model):
    """Success of recovered descriptors at one false match rate."""

    fmr: Annotated[float, Field(gt=1e-12, le=1)]
    """False match rate."""
    solved: Interval
    """Solution rate: share of recovered descriptors that the protected system accepts for the template."""
    matched: Interval
    """Match rate: share of the solved ones that the unprotected system accepts for the leaked descriptor."""
    success: Interval
    """Inversion success: share of targets that are solved and matched."""


class Unlinkability(Model):
    """Whether templates of one person under different keys can be linked (Gomez-Barrero et al. 2018)."""

    d_sys: Interval
    """Global measure, 0 (unlinkable) to 1, with its 95 % bootstrap interval over people."""
    keys: Count
    """Number of keys."""
    bins: Count
    """Bins of the histograms of scores. Few scores in many bins bias the measure upward."""
    mated: Count
    """Scores of one person under different keys."""
    non_mated: Count
    """Scores of two people under different keys."""


class Protected(Model):
    """A cell whose descriptors are stored as protected templates."""

    scheme: str
    """Name of the protection."""
    options: dict[str, Any] = {}
    """Its options."""
    threat: str
    """What the attacker has: ``key-known``, ``key-stolen-late`` or ``key-secret``."""
    issued: Count = 1
    """Templates of each target that leaked, each under another key, or with other noise."""
    keys: str
    """Who has a key: ``none``, ``system`` or ``person``. Keys are derived from ``config.seed``."""
    output: str
    """``real``, ``binary`` or ``symbols``."""
    comparison: str
    """``cosine``, ``hamming`` or ``euclidean``."""
    length: Count
    """Numbers in a template."""
    bytes: Count
    """Bytes of a template: 4 for a real number, the fewest bits that hold all values otherwise."""
    plain_bytes: Count
    """Bytes of a descriptor."""
    attack: str
    """How descriptors were recovered from templates, before they were inverted to pictures."""
    budget: dict[str, Count] = {}
    """What the attack spent on each target, by unit."""
    tried: dict[str, Number] = {}
    """Mean cosine that each attack reached on 16 of the attacker's own faces; the best was run on the targets."""
    adaptive: bool
    """Whether this is the best attack known on the scheme; if not, it is "not attacked adaptively"."""
    prior: Count
    """Descriptors of the attacker's own faces that the attack used."""
    cosine: Interval
    """Cosine of recovered and leaked descriptors."""
    utility: Utility | None = None
    """Recognition with templates; ``null`` without photographs of known people."""
    irreversibility: list[IrreversibilityRow] = []
    """One row for each false match rate."""
    unlinkability: Unlinkability | None = None
    """``null`` for a scheme without keys, or without several photographs of known people."""
