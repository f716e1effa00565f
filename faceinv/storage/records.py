"""The schema of the records of cells: every key of ``cells/<id>.json``, with its unit and range."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from faceinv.storage.answer_records import AnswersFacts
from faceinv.storage.identity_records import IdentificationRow, Recognition, SuccessRow
from faceinv.storage.protection_records import Protected
from faceinv.storage.schema import (
    Count,
    Digests,
    FileStem,
    Id,
    Interval,
    MetricSummary,
    Model,
    Number,
    Pair,
    Positive,
    Seconds,
    Share,
    finite,
    read_content,
    validated,
)  # fmt: skip

#: Schema of the records of cells. Raise it when old readers can no longer read what is written.
SCHEMA = 2


class ProbeScore(Model):
    """How well a probe reads its attribute from descriptors of held-out samples or photographs."""

    descriptor: Number | None
    """Mean error of what is read from the descriptor."""
    baseline: Number | None
    """Mean error of always guessing the mean."""
    unit: str
    """Unit of both."""
    n: Count
    """Held-out samples or photographs."""
    measured_by: str = ""
    """What measures the attribute on an image, such as a network and what it was trained on."""
    remarks: list[str] = []
    """Caveats about that, one sentence each."""
    learnt_from: str = ""
    """What the probe was trained on: samples of the generator, or photographs of other people than the targets."""


class LossShare(Model):
    """How much a loss contributes to the weighted sum that the method minimises."""

    weight: Number
    """Weight of the loss; 0 if it was left out."""
    start: Share | None = None
    """Its weighted share of the sum at the first step, 0 to 1, over all targets."""
    end: Share | None = None
    """The same at the last step."""


class CellSeconds(Model):
    """Where the time of a cell went."""

    prepare: Seconds | None = None
    """Training of probes and regressor, in seconds."""
    recover: Seconds | None = None
    """Recovery of descriptors from protected templates, in seconds."""
    protect: Seconds | None = None
    """Protection of one descriptor, in seconds."""
    invert: Seconds | None = None
    """Inversion, in seconds."""
    score: Seconds | None = None
    """Scoring, in seconds."""
    a_target: list[Seconds] = []
    """For each batch, the seconds of the inversion divided by its targets."""


class Parent(Model):
    """The record whose pictures were scored again."""

    id: Id
    """Its id."""
    checksum: str
    """Its checksum."""
    weights: dict[str, str] = {}
    """Its ``weights``: what the pictures were reconstructed with."""
    code: dict[str, str] = {}
    """Its ``code``."""


class CellConfig(Model):
    """The resolved config of a cell. The page on the config explains its keys."""

    encoder: str
    """Attacked encoder."""
    critics: Annotated[list[str], Field(min_length=1)]
    """Encoders that judge identity; those that were not attacked come first."""
    generator: str
    """Face generator."""
    space: str
    """Latent space of the generator."""
    losses: list[str]
    """Losses of the objective."""
    objective: str
    """Preset of the weights of the losses."""
    loss_weights: dict[str, Number] = {}
    """Weights in place of the preset's, by loss."""
    method: str
    """Inversion method."""
    method_options: dict[str, Any] = {}
    """Options of the method."""
    dataset: str
    """Data set of the targets, ``NAME`` or ``NAME:PATH``."""
    dataset_options: dict[str, Any] = {}
    """Options of the data set."""
    labels: str = ""
    """Labels file of the data set, if one was given."""
    detector: str = ""
    """Face detector."""
    limit: Count
    """Number of targets asked for."""
    per_person: Count = 0
    """Targets per person at most; 0 takes all."""
    min_photographs: Count = 0
    """Photographs that a person must have to be a target."""
    skip: Count = 0
    """Targets passed over first."""
    steps: Count
    """Budget per target, in image-steps or queries; 0 for a method without steps."""
    seed: int
    """Seed of synthetic targets and methods."""
    probes: str = ""
    """Recipe of the probes."""
    pairs: Count = 0
    """Synthetic pairs to train on."""
    probe_data: str = ""
    """Data set of photographs that probes were trained on, ``NAME:PATH``; nothing for samples of the generator."""
    probe_data_limit: Count = 0
    """Photographs of that data set at most; 0 takes all."""
    metrics: list[str] = []
    """Metrics computed."""
    recognition: str = "targets"
    """Data set that encoders are judged on, or ``targets``."""
    recognition_limit: Count = 0
    """Photographs of that data set at most; 0 takes all."""
    protection: str = ""
    """Protection of the stored descriptors; empty for none."""
    protection_options: dict[str, Any] = {}
    """Options of the protection."""
    threat: str = ""
    """What the attacker has of a protected system; empty without protection."""
    issued: Positive = 1
    """Templates of each target that leaked, each under another key."""
    leak: str = ""
    """What leaked of each descriptor, such as ``scores:64``; nothing for the whole descriptor."""
    knowledge: str = ""
    """What the attacker had in place of the encoder, such as ``pairs:1000``; nothing for the encoder itself."""
    surrogate: str = ""
    """Encoder in the attacker's loss; nothing if it is the attacked one, which leaked."""
    leaked_per_person: Positive = 1
    """Leaked descriptors of each target's person, the target's included."""
    fusion: str = ""
    """How several became one; nothing for a single one."""
    answers: Positive = 1
    """Reconstructions of each target."""
    precision: str = "fp32"
    """Precision of the networks in a step."""
    compile: bool = False
    """Whether torch.compile made the networks of a step."""


class LeakFacts(Model):
    """What the attacker had of the targets, and how near it is to their descriptors."""

    leaked: str
    """Encoder whose descriptors leaked."""
    steered_by: str
    """Encoder in the attacker's loss."""
    judged_by: list[str]
    """Encoders that judge."""
    answers: Count
    """Numbers, scores or decisions that the system gave away of each descriptor, of the one that most were asked of."""
    cosine: Interval
    """Cosine of what is inverted to the target's own descriptor, on the encoder in the loss: mean and interval."""
    map: Literal["ridge", "network"] | None = None
    """The map from the encoder that leaked to the surrogate, chosen on a fifth of the pairs."""
    map_cosine: Number | None = None
    """Cosine of mapped to true descriptors on that fifth."""
    fmr: Share | None = None
    """False match rate that the system is set to whose decisions leaked."""
    threshold: Number | None = None
    """Its threshold."""
    entered: Share | None = None
    """Share of targets for which the system accepted an image before the reconstruction."""


class CellRecord(Model):
    """The keys that every record of a cell has."""

    schema_number: Annotated[Literal[1, 2], Field(alias="schema")]
    """Schema of the file. This version writes 2 and reads 1; a cell whose record has schema 1 is computed again."""
    id: Id
    """Name of the cell and of the file: a hash of config, weights and code; ``inverted`` for ``faceinv invert``."""
    kind: Literal["bench", "invert"] = "bench"
    """Command that wrote the record."""
    config: CellConfig
    """The cell with every name resolved."""
    weights: dict[str, str] = {}
    """SHA-256 of each weights file, and hashes of the data sets, by name."""
    code: dict[str, str] = {}
    """Hash of the code that makes the numbers: the core, and plugins by kind and name."""
    plugins: dict[str, str] = {}
    """Distribution and version behind each plugin object, by the keys of ``code``."""
    environment: dict[str, str] = {}
    """Versions, by package."""
    checksum: str = ""
    """SHA-256 of the other keys but ``seconds``, ``environment`` and ``plugins``. An edited record is not used."""

    @classmethod
    def of(cls, cell_id: str, facts: Mapping[str, Any]) -> Self:
        """Return the record of a cell from what is known of it; numbers that are not finite become ``None``."""
        return cls.model_validate(finite({"schema": SCHEMA, "id": cell_id, **facts}))


class BegunCell(CellRecord):
    """What is known of an unfinished cell, in ``cells/<id>/parts/cell.json``."""

    n: Positive
    """Targets."""
    batch_size: Positive
    """Targets per batch."""
    targets: str
    """Hash of the target images."""


class FailedCell(CellRecord):
    """The record of a cell that failed. The same command computes it again."""

    status: Literal["failed"]
    """``failed``."""
    error: str
    """Why, in one line."""
    exit_code: int = 1
    """Exit code that the failure leads to."""
    traceback: str = ""
    """Where in the code, if the failure was not expected."""


class FinishedCell(CellRecord):
    """The record of a finished cell. Keys of further protocols are kept, under the name of the protocol."""

    status: Literal["ok"]
    """``ok``: the cell is never computed again."""
    n: Positive
    """Targets."""
    real: bool | None
    """Whether the targets are photographs; ``null`` for descriptors without photographs (``faceinv invert``)."""
    aligned: str | None = None
    """``detected`` where each face was detected and aligned, otherwise the framing that the data set declares."""
    targets: str
    """Hash of the target images: cells with the same value can be compared target by target."""
    batch_size: Positive | None = None
    """Targets per batch. Numbers agree to the last digit only between equal batches."""
    learned: dict[str, Literal["shipped", "trained"]] = {}
    """Where each part came from that the attack learned from pairs: ``shipped`` with a plugin, or ``trained``."""
    learned_hash: str = ""
    """Hash of the regressor and the readers of probes: records with the same value used the same ones."""
    files: list[FileStem] = []
    """``faceinv invert`` only: name of each reconstruction's file in the run folder, without suffix."""
    skipped: list[Pair] = []
    """Images that could not be used: name and reason."""
    warnings: list[str] = []
    """Caveats to show wherever the numbers are shown, one sentence each."""
    metrics: dict[str, MetricSummary]
    """Mean of each column of scores."""
    recognition: dict[str, Recognition] = {}
    """How well each encoder tells people apart, by role."""
    success: list[SuccessRow] = []
    """Share of reconstructions accepted, by role, false match rate and type."""
    identification: list[IdentificationRow] = []
    """Rank of the right person in a gallery, by role, gallery and k."""
    left_out: dict[str, str] = {}
    """Metrics that could not be computed: name and reason."""
    probes: dict[str, ProbeScore] = {}
    """Score of each probe that the objective reads."""
    trajectory: dict[str, list[Number | None]] = {}
    """Each loss before weighting, and ``total``, after each image shown to the encoder: the mean over the targets."""
    shares: dict[str, LossShare] = {}
    """Weighted share of each loss in the objective, by loss."""
    protection: Protected | None = None
    """What the protection costs and what an attack recovers behind it; ``null`` without protection."""
    access: str = ""
    """What the method may ask of the encoder: ``white-box`` or ``scores``."""
    offline: str = ""
    """What the method had of the encoder before any target: ``none``, ``pairs`` or ``white-box``."""
    queries: Count | None = None
    """Images shown to the encoder for the target that took most; at most ``config.steps``."""
    image_steps: Count | None = None
    """Those of them under white-box access, where gradients are available."""
    queries_mean: Annotated[float, Field(ge=0, le=2**53)] | None = None
    """``queries``, averaged over the targets."""
    image_steps_mean: Annotated[float, Field(ge=0, le=2**53)] | None = None
    """``image_steps``, averaged over the targets."""
    seconds: CellSeconds = CellSeconds()
    """Where the time went."""
    parent: Parent | None = None
    """``faceinv rescore`` only: the record whose pictures these are. ``weights`` and ``code`` are then the scores'."""
    answers: AnswersFacts | None = None
    """What several answers to each descriptor agree on, if there are several."""
    leak: LeakFacts | None = None
    """What the attacker had, if it is not the target's whole descriptor on an encoder that the attacker can run."""
    digests: Digests = {}
    """SHA-256 of the rows, pictures and ``read.npz``, by the name of the file. ``faceinv verify`` compares them."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.files and len(self.files) != self.n:
            raise ValueError(f"files has {len(self.files)} names for n = {self.n} targets")
        return self


def migrated(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the content of a cell's record with the keys of this schema.

    Schema 1 had a single critic, under the key ``critic`` of the config. What it lacked (recognition, attack success,
    identification, warnings, budgets) has a default.
    """
    config = content.get("config")
    if content.get("schema") != 1 or not isinstance(config, Mapping) or "critic" not in config:
        return content
    kept = {key: value for key, value in config.items() if key != "critic"}
    return {**content, "config": {**kept, "critics": [config["critic"]]}}


def read_cell(path: Path) -> FinishedCell | FailedCell:
    """Return the record of a cell.

    Raises:
        ValueError: if the file cannot be read or is not a record; the message is one line without the file's name.
    """
    content = read_content(path, path.parents[1])
    if content.get("status") == "failed":
        return validated(FailedCell, migrated(content), path.stem)
    return validated(FinishedCell, migrated(content), path.stem)


def read_begun(path: Path) -> BegunCell:
    """Return what ``parts/cell.json`` says of an unfinished cell; it lies in the folder ``<id>/parts``.

    Raises:
        ValueError: as for :func:`read_cell`.
    """
    return validated(BegunCell, read_content(path, path.parents[3]), path.parents[1].name)
