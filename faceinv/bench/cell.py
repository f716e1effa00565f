"""A cell: one point of a grid, with every name resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from faceinv.contracts.leaks import PARTS


@dataclass(frozen=True)
class Cell:
    """One point of the grid, with full names in every field.

    All fields are part of the cell's id. Where and how fast a cell is computed (device, batch size, folder) is
    not, because it must not matter.
    """

    encoder: str
    critics: tuple[str, ...]
    generator: str
    space: str
    losses: tuple[str, ...]
    objective: str
    loss_weights: Mapping[str, float]
    method: str
    method_options: Mapping[str, Any]
    dataset: str
    dataset_options: Mapping[str, Any]
    labels: str
    detector: str
    limit: int
    per_person: int
    min_photographs: int
    skip: int
    steps: int
    seed: int
    probes: str
    pairs: int
    probe_data: str
    probe_data_limit: int
    metrics: tuple[str, ...]
    recognition: str
    recognition_limit: int
    protection: str
    protection_options: Mapping[str, Any]
    threat: str
    issued: int
    leak: str
    knowledge: str
    surrogate: str
    leaked_per_person: int
    fusion: str
    answers: int
    precision: str
    compile: bool

    @property
    def steering(self) -> str:
        """The encoder in the attacker's loss: the one that leaked, unless the attacker cannot run it."""
        return self.surrogate or self.encoder

    @property
    def part(self) -> str:
        """The leak if the attacker learns from parts of descriptors; empty if not."""
        return self.leak if self.leak.startswith(PARTS) and not self.surrogate else ""

    @property
    def changes_descriptors(self) -> bool:
        """Whether the attacker has anything else than the target's own descriptor on the encoder that leaked."""
        return bool(self.leak or self.surrogate) or self.leaked_per_person > 1

    @property
    def critic(self) -> str:
        """The first critic; one that was not attacked, if there is any."""
        return self.critics[0]

    @property
    def optional_critics(self) -> tuple[str, ...]:
        """The critics that a run goes on without if their weights cannot be fetched: all but the first."""
        return tuple(name for name in self.critics[1:] if name != self.encoder)

    @property
    def counted(self) -> int:
        """Number of usable images to take from the data set: skipped ones and targets."""
        return self.skip + self.limit

    @property
    def roles(self) -> dict[str, str]:
        """Encoder of each role: ``attacked``, ``critic``, and ``critic:<name>`` for each further critic."""
        further = {f"critic:{name}": name for name in self.critics[1:]}
        return {"attacked": self.encoder, "critic": self.critic, **further}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings to show with the cell's numbers."""
        texts = []
        if self.encoder in self.critics:
            texts.append(
                f"'{self.encoder}' was attacked and also scores its own inversion as a critic: a high cosine there "
                "shows overfitting, not identity."
            )
        if self.precision == "bf16":
            texts.append(
                "Steps in bf16 round away the low-variance axes of descriptors: losses and methods that whiten "
                "descriptors do worse than in fp32."
            )
        return tuple(texts)
