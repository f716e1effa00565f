"""The part of a record that concerns several answers to one descriptor."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from faceinv.storage.schema import Interval, Model, Number, Share


class AcceptedAnswers(Model):
    """How many of a target's answers an encoder accepts as the person, against another photograph (type II)."""

    role: str
    """Role of the encoder."""
    encoder: str
    """Name of the encoder."""
    fmr: Annotated[float, Field(gt=1e-12, le=1)]
    """False match rate."""
    share: Interval
    """Share of the answers accepted: mean over the targets."""
    any: Interval
    """Share of targets of which at least one answer is accepted."""
    all: Interval
    """Share of targets of which every answer is accepted."""


class HeldRange(Model):
    """How often the truth lies in the range of the answers at one level."""

    level: Share
    """How often it should, 0 to 1."""
    inside: Interval
    """How often it does: share of the attribute's numbers, mean over the targets."""
    scaled: Interval | None
    """The same after the ranges were scaled by the factor of the other half of the people; ``null`` for one person."""


class Calibrated(Model):
    """How sure the answers are about an attribute, and how sure they may be."""

    attribute: str
    """Probe that measured it, on the answers and on the target."""
    left: Number | None
    """Spread of one target's answers divided by the spread of the truth over targets: 0 where all answers agree."""
    factor: Number | None
    """What ranges must be multiplied by to hold as often as they should at level 0.8."""
    ranges: list[HeldRange]
    """One for each level."""


class AnswersFacts(Model):
    """Several answers to one descriptor, from different starts."""

    answers: Annotated[int, Field(ge=2)]
    """Answers to each target."""
    cosines: list[Number]
    """Cosine of each answer to what leaked, on the encoder in the loss: mean over the targets."""
    reached: list[Number] | None = None
    """The same before the answers to a target were brought to one cosine; ``null`` if they were not."""
    accepted: list[AcceptedAnswers]
    """How many are accepted, by role and false match rate."""
    calibration: list[Calibrated]
    """How often the truth lies in their ranges, by attribute."""
