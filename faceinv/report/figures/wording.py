"""Captions: which networks and images a figure is from, and what differs from the paper's own figure."""

from __future__ import annotations

from faceinv.report import wording
from faceinv.report.runs import Study
from faceinv.storage.audit_records import ProbeRecord

#: What the paper used, by what it is: how it is called, and the beginnings of its names here.
_ENCODERS = {"VGGFace2": ("vggface2",), "ArcFace": ("arcface",)}
_GENERATOR, _CRITIC = ("StyleGAN2", "stylegan2"), ("VGG-Face", "vggface.")


def of_study(study: Study, *, critic: bool = False, dataset: bool = False) -> str:
    """Return the networks and images of a study, and what differs from the paper's, in sentences.

    Args:
        study: The cells.
        critic: Whether the figure depends on the critic.
        dataset: Whether the paper says which data set its figure is from: MoFA-Test.
    """
    config, column = study.first.config, study.fullest
    given = (
        f"{config.encoder} through {config.generator}, {wording.of_targets(column.record)} ({_short(config.dataset)})"
    )
    differing = []
    if not config.encoder.startswith(_ENCODERS["VGGFace2"]):
        differing.append("VGGFace2's encoder")
    if not config.generator.startswith(_GENERATOR[1]):
        differing.append(_GENERATOR[0])
    if critic and not column.critic.startswith(_CRITIC[1]):
        differing.append(f"the critic {_CRITIC[0]}")
    if dataset and not config.dataset.startswith("mofa-test"):
        differing.append("MoFA-Test")
    if config.objective != "paper":
        differing.append("its own weights of the losses")
    steps = f"{config.steps} step{'s' if config.steps != 1 else ''}"
    return f"{given}; objective {config.objective}, {steps}. {_paper_used(differing)}"


def of_probe(record: ProbeRecord, encoder: str, recipe: str) -> str:
    """Return the encoder and images of an audit, and what differs from the paper's, in sentences."""
    people = record.dataset.people
    who = f" of {people['test']} people who were not used for training" if people else ""
    given = (
        f"{encoder}, recipe {recipe}, {record.dataset.images['test']} photographs{who}, {_short(record.dataset.name)}"
    )
    differing = []
    if not any(encoder.startswith(names) for names in _ENCODERS.values()):
        differing.append("VGGFace2's encoder")
    if not record.dataset.name.startswith("celeba"):
        differing.append("CelebA")
    if recipe != "paper":
        differing.append("its own recipes of training")
    return f"{given}. {_paper_used(differing)}"


def _paper_used(differing: list[str]) -> str:
    if not differing:
        return "Networks and data as in the paper."
    first = ", ".join(differing[:-1])
    return f"The paper used {f'{first} and ' if first else ''}{differing[-1]}."


def _short(dataset: str) -> str:
    """Return the name of a data set without the path."""
    return dataset.partition(":")[0]
