"""The parts of a record that concern identity: recognition, attack success and identification."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from faceinv.storage.schema import Count, Model, Number, Positive, Share


class Accuracy(Model):
    """Verification accuracy, with thresholds chosen on the other folds and no person in two folds."""

    accuracy: Share
    """Share of pairs classified correctly, 0 to 1."""
    low: Share
    """Lower end of the 95 % Wilson interval."""
    high: Share
    """Upper end."""
    pairs: Count
    """Pairs scored."""
    folds: Count
    """Folds of the cross-validation."""


class Threshold(Model):
    """The threshold of an encoder at one false match rate."""

    fmr: Annotated[float, Field(gt=1e-12, le=1)]
    """False match rate asked for, above 0 and up to 1."""
    threshold: Number | None
    """Cosine from which a pair is accepted; ``null`` with too few pairs."""
    false_matches: Count | None
    """Impostor pairs accepted at the threshold."""
    impostor_pairs: Count
    """Impostor pairs that it was measured on."""
    needed_pairs: Count
    """Impostor pairs needed to see one false match: 1 / fmr."""
    tmr: Share | None
    """Share of genuine pairs accepted; ``null`` without genuine pairs."""
    reason: str | None
    """Why there is no threshold: too few pairs."""
    note: str | None = None
    """Caveat: the threshold rests on few false matches."""


class Bins(Model):
    """Equal bins of the histograms; scores at an end are counted in the last bin."""

    low: Number
    """Lower edge of the first bin, a cosine."""
    high: Number
    """Upper edge of the last bin, a cosine."""
    count: Positive
    """Number of bins."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} and high {self.high}")
        return self


class Distribution(Model):
    """Cosines of many pairs."""

    n: Count
    """Number of pairs."""
    mean: Number | None
    """Mean cosine."""
    std: Number | None
    """Standard deviation; ``null`` for a single pair."""
    histogram: Annotated[list[Count], Field(min_length=1)]
    """Pairs in each bin."""


class Distributions(Model):
    """Cosines of four kinds of pairs; ``null`` where there are none."""

    genuine: Distribution | None = None
    """Two photographs of one person."""
    impostor: Distribution | None = None
    """Photographs of two people."""
    leaked: Distribution | None = None
    """A reconstruction and its target."""
    other: Distribution | None = None
    """A reconstruction and the person's other photographs."""


class Recognition(Model):
    """How well an encoder tells people apart, and its cosines for the reconstructions."""

    encoder: str
    """Name of the encoder."""
    source: str
    """``targets``, or the data set given by ``--recognition``."""
    photographs: Count
    """Images embedded, through the generator's framing as targets are."""
    people: Count | None
    """People on them; ``null`` where identities are unknown and each image counts as another person."""
    notes: list[str] = []
    """Caveats about these scores, one sentence each."""
    eer: Share | None
    """Equal error rate, 0 to 1; ``null`` without genuine pairs."""
    eer_threshold: Number | None = None
    """Cosine at the equal error rate."""
    verification: Accuracy | None
    """Verification accuracy; ``null`` with too few people."""
    thresholds: list[Threshold]
    """One for each false match rate."""
    bins: Bins
    """Bins of the histograms in ``distributions``."""
    distributions: Distributions
    """Cosines of genuine and impostor pairs, and of the reconstructions."""


class SuccessRow(Model):
    """Attack success for one role, false match rate and type."""

    role: str
    """Role of the encoder."""
    encoder: str
    """Name of the encoder."""
    fmr: Annotated[float, Field(gt=1e-12, le=1)]
    """False match rate."""
    threshold: Number | None
    """Cosine from which a pair is accepted; ``null`` if it could not be measured, and so are the shares."""
    type: Literal["I", "II"]
    """``I``: against the leaked photograph; ``II``: against the person's first other photograph in the data set."""
    accepted: Count | None
    """Targets accepted."""
    n: Count
    """Targets compared."""
    share: Share | None
    """``accepted / n``."""
    low: Share | None
    """Lower end of the 95 % Wilson interval."""
    high: Share | None
    """Upper end."""
    tmr: Share | None
    """Share of genuine pairs of photographs accepted at the same threshold: what a real photograph reaches."""
    reason: str | None = None
    """Why there is no share."""
    photographs: Count | None = None
    """Type II only: other photographs compared with."""
    share_all: Share | None = None
    """Type II only: share accepted over all other photographs, each target weighted equally."""
    low_all: Share | None = None
    """Lower end of its 95 % bootstrap interval over targets."""
    high_all: Share | None = None
    """Upper end."""


class IdentificationRow(Model):
    """Closed-set identification for one role, gallery and rank."""

    role: str
    """Role of the encoder."""
    encoder: str
    """Name of the encoder."""
    gallery: str
    """``leaked``: the leaked photograph of each person; ``other``: another photograph of each."""
    gallery_size: Positive
    """People in the gallery."""
    rank: Positive
    """k of rank-k: 1, 5 or 10."""
    hits: Count
    """Targets whose person is among the first k."""
    n: Count
    """Targets ranked."""
    share: Share | None
    """``hits / n``."""
    low: Share | None
    """Lower end of the 95 % Wilson interval."""
    high: Share | None
    """Upper end."""
    chance: Share
    """Share reached by guessing: ``rank / gallery_size``."""
