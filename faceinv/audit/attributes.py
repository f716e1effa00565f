"""Attributes of an audit: annotations and probes by name, and how each is labelled and scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from faceinv.audit.annotations import AnnotationProbe, annotation_probe, find_annotation
from faceinv.bank.labelling import labelling
from faceinv.contracts.data import Dataset
from faceinv.contracts.probes import DerivedProbe, Probe
from faceinv.contracts.specs import Framing, ProbeSpec
from faceinv.errors import FaceinvError, PluginError, WeightsError, unknown_name
from faceinv.models.loader import Loader

#: The binary attributes of the paper's Table 1: read by default where a data set has them.
PAPER_ANNOTATIONS = ("smiling", "wearing_hat", "eyeglasses")

#: Probes that are measured by default, if their plugins are installed.
DEFAULT_PROBES = ("landmarks", "histogram", "pose", "skin-colour", "background-colour", "illumination")

#: ``--attributes all``: every annotation and every default probe.
ALL = "all"


@dataclass(frozen=True)
class Attribute:
    """An attribute to read, and how it is labelled and scored.

    Args:
        name: Its name as given by the user; an annotation's name in lower case.
        probe: Labels it and measures errors.
        spec: The probe's declaration; ``None`` for an annotation.
        annotation: Name of the annotation in the data set, or nothing.
    """

    name: str
    probe: Probe
    spec: ProbeSpec | None = None
    annotation: str = ""

    @property
    def is_binary(self) -> bool:
        """True if it is 0 or 1 and read as a probability."""
        return isinstance(self.probe, AnnotationProbe)

    @property
    def is_exact(self) -> bool:
        """True if reading it from the image means measuring it, without any error."""
        return self.spec is not None and self.spec.exact

    @property
    def main_score(self) -> str:
        """Score that leakage is computed from."""
        return "auc" if self.is_binary else (self.error_name or "r2")

    @property
    def error_name(self) -> str:
        """Name of the probe's mean error in reports, or nothing."""
        return self.spec.metric if self.spec is not None else ""

    @property
    def labelled_by(self) -> str:
        """Name of the probe that labels it, or ``"annotation"``."""
        return self.spec.name if self.spec is not None else "annotation"

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the probes that the bank measures for it."""
        if self.spec is None:
            return ()
        return self.spec.needs if isinstance(self.probe, DerivedProbe) else (self.spec.name,)

    def labels(self, dataset: Dataset, measured: Callable[[str], Tensor]) -> Tensor:
        """Return the labels ``(N, *shape)`` of a data set, NaN where unknown.

        Args:
            dataset: Holds the annotations.
            measured: Returns the bank's values of a probe.
        """
        if self.annotation:
            return dataset.annotations[self.annotation].float()[:, None]
        if isinstance(self.probe, DerivedProbe):
            return self.probe.derive(*(measured(name) for name in self.measured))
        return measured(self.labelled_by).clone()


def choose_attributes(
    names: Sequence[str],
    dataset: Dataset,
    real: bool,
    loader: Loader,
    frame: Framing,
    clean: Framing,
    say: Callable[[str], None] = lambda text: None,
) -> list[Attribute]:
    """Return the attributes of these names, in that order and once each; by default the standard ones.

    Args:
        names: Annotations or probes; ``"all"`` stands for every annotation and every default probe.
        dataset: Holds the annotations.
        real: True if its images are photographs, which a probe's ``on_photographs`` then labels.
        loader: Builds the probes.
        frame: Framing of the images.
        clean: Framing of the part of the images without borders.
        say: Called with remarks: default attributes that are left out, probes that replace another.

    Raises:
        UnknownNameError: if a name is neither an annotation nor a probe.
        InputError: if an annotation that was asked for has nothing to read.
    """
    chosen: dict[str, Attribute] = {}
    named = [name for name in names if name != ALL]
    optional = [] if named and ALL not in names else _defaults(dataset, loader, everything=ALL in names)
    for name in dict.fromkeys([*named, *optional]):
        try:
            attribute = _attribute(name, dataset, real, loader, frame, clean, say)
        except FaceinvError as error:
            if name in named:
                raise
            say(f"Without {name}: {error}")
            continue
        chosen.setdefault(attribute.name, attribute)
    return list(chosen.values())


def _defaults(dataset: Dataset, loader: Loader, *, everything: bool) -> list[str]:
    """Return the names of the default attributes."""
    of_paper = [name for name in PAPER_ANNOTATIONS if find_annotation(dataset.annotations, name)]
    # Without the paper's annotations, read all that the data set has.
    annotations = list(dataset.annotations) if everything or not of_paper else of_paper
    return annotations + [name for name in DEFAULT_PROBES if loader.host.knows("probe", name)]


def _attribute(
    name: str,
    dataset: Dataset,
    real: bool,
    loader: Loader,
    frame: Framing,
    clean: Framing,
    say: Callable[[str], None],
) -> Attribute:
    own = find_annotation(dataset.annotations, name)
    if own is not None:
        return Attribute(own.strip().casefold(), annotation_probe(own, dataset.annotations[own]), None, own)
    if not loader.host.knows("probe", name):
        known = [key.casefold() for key in dataset.annotations]
        raise unknown_name("attribute", name, known + [spec.name for spec in loader.host.specs("probe")])
    spec: ProbeSpec = loader.host.spec("probe", name)
    better = labelling(loader.host, name)
    if real and better is not spec:
        try:
            return Attribute(name, loader.probe(better.name, frame), better)
        except (PluginError, WeightsError) as error:
            say(f"'{name}' is labelled by '{spec.name}' and not by '{better.name}', made for photographs: {error}")
    return Attribute(name, loader.probe(spec.name, clean if spec.whole_frame else frame), spec)
