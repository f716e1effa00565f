"""From names to frozen networks: look up the spec, fetch the weights, build the module, once each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from faceinv.contracts.metrics import Metric
from faceinv.contracts.networks import Detector, Generator, check_images
from faceinv.contracts.probes import Probe
from faceinv.contracts.specs import EncoderSpec, Framing, GeneratorSpec, MetricSpec, ProbeSpec, Spec
from faceinv.errors import PluginError, ShapeError, UntrustedError, UsageError, WeightsError
from faceinv.framing import Warp, warp_between
from faceinv.plugins.bundled import distribution_of
from faceinv.plugins.code import codes
from faceinv.plugins.host import Host
from faceinv.plugins.registry import load_target
from faceinv.weights.conversion import identify_file
from faceinv.weights.formats.state_dict import TensorsError, read_tensors
from faceinv.weights.store import WeightStore

T = TypeVar("T")


class Encoder(nn.Module):
    """A frozen face recognition network behind one contract.

    Args:
        spec: Its declaration.
        network: Maps images in its own crop to descriptors.
        weights: SHA-256 of each weights file it was built from, by name.
        owner: Distribution that it came from, for messages.
    """

    def __init__(self, spec: EncoderSpec, network: nn.Module, weights: Mapping[str, str], owner: str) -> None:
        super().__init__()
        self.spec = spec
        self.network = network
        self.weights = dict(weights)
        self.owner = owner
        self._seen = False

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, dim)`` of images ``(B, 3, H, W)`` in the encoder's own crop.

        Raises:
            ShapeError: if the images have another size, rank or type.
            PluginError: if the network does not return descriptors of the declared length, or if none of
                its first ones is finite.
        """
        check_images(images, self.spec.framing.size)
        descriptors: Tensor = self.network(images)
        if not isinstance(descriptors, Tensor) or descriptors.shape != (len(images), self.spec.dim):
            returned = tuple(descriptors.shape) if isinstance(descriptors, Tensor) else type(descriptors).__name__
            raise PluginError(
                f"The encoder '{self.spec.name}' of {self.owner} declares descriptors of length {self.spec.dim}, "
                f"but returned {returned} for {len(images)} images."
            )
        # Once: on a GPU it waits for the result.
        if not self._seen and not torch.compiler.is_compiling():
            self._seen = True
            # A single image may be at fault; callers look at each row.
            if not torch.isfinite(descriptors).all(1).any():
                raise PluginError(f"The encoder '{self.spec.name}' of {self.owner} returned NaN or infinity.")
        return descriptors


class FramedEncoder(nn.Module):
    """An encoder behind the warp from a generator's framing to the encoder's crop."""

    def __init__(self, encoder: Encoder, framing: Framing) -> None:
        super().__init__()
        self.encoder = encoder
        self.warp: Warp = warp_between(framing, encoder.spec.framing)

    @property
    def spec(self) -> EncoderSpec:
        """The encoder's declaration."""
        return self.encoder.spec

    @property
    def dim(self) -> int:
        """Length of a descriptor."""
        return self.encoder.spec.dim

    @property
    def device(self) -> torch.device:
        """Where the encoder's weights are."""
        return device_of(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, dim)`` of images ``(B, 3, H, W)`` in the generator's framing."""
        descriptors: Tensor = self.encoder(self.warp(images))
        return descriptors


@dataclass(frozen=True)
class LoadedGenerator:
    """A frozen generator, its declaration and its framing.

    Args:
        spec: Its declaration.
        network: The generator.
        framing: The spec's framing, or the network's own if a weights file decides its size.
        weights: SHA-256 of each weights file, by name.
    """

    spec: GeneratorSpec
    network: Generator
    framing: Framing
    weights: Mapping[str, str]

    @property
    def device(self) -> torch.device:
        """Where the generator's weights are."""
        return device_of(self.network)

    def space(self, name: str = "") -> str:
        """Return ``name`` if it is one of the generator's spaces; its default space if empty.

        Raises:
            UsageError: if the generator has no such space.
        """
        if name and name not in self.spec.spaces:
            spaces = ", ".join(self.spec.spaces)
            raise UsageError(f"The generator '{self.spec.name}' has no latent space '{name}'. Available: {spaces}.")
        return name or self.spec.spaces[0]


class Loader:
    """Builds networks, probes and metrics from their specs, each one once.

    Args:
        host: The plugins.
        store: The weights files.
        files: The user's own weights files in place of declared ones, by the spec's name.
        device: Device of the networks.
        dtype: Floating-point type of the networks.
        options: Further keyword arguments for a spec's factory, by the spec's name.
    """

    def __init__(
        self,
        host: Host,
        store: WeightStore,
        *,
        files: Mapping[str, Path] | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.host = host
        self.store = store
        self.device = torch.device(device)
        self.dtype = dtype
        self._files = dict(files or {})
        self._options = dict(options or {})
        self._adopted: dict[str, Path] = {}
        self._built: dict[tuple[Hashable, ...], Any] = {}

    def encoder(self, name: str) -> Encoder:
        """Return the frozen encoder ``name``."""
        spec: EncoderSpec = self.host.spec("encoder", name)
        owner = self.host.owner(spec.kind, spec.name)

        def build() -> Encoder:
            network = self._network(spec)
            if not isinstance(network, nn.Module):
                raise PluginError(
                    f"The encoder '{spec.name}' of {owner} must be a torch.nn.Module; "
                    f"{spec.target} made {type(network).__name__}."
                )
            return Encoder(spec, network, self.hashes(spec), owner)

        return self._once((spec.kind, spec.name), build)

    def generator(self, name: str) -> LoadedGenerator:
        """Return the frozen generator ``name``."""
        spec: GeneratorSpec = self.host.spec("generator", name)

        def build() -> LoadedGenerator:
            network = self._network(spec)
            if not isinstance(network, Generator):
                owner = self.host.owner(spec.kind, spec.name)
                raise PluginError(
                    f"The generator '{spec.name}' of {owner} must be a faceinv.contracts.Generator; "
                    f"{spec.target} made {type(network).__name__}."
                )
            return LoadedGenerator(spec, network, getattr(network, "framing", spec.framing), self.hashes(spec))

        return self._once((spec.kind, spec.name), build)

    def detector(self, name: str) -> Detector:
        """Return the face detector ``name``."""
        spec = self.host.spec("detector", name)
        return self._once((spec.kind, spec.name), lambda: cast(Detector, self._network(spec)))

    def probe(self, name: str, framing: Framing) -> Probe:
        """Return the probe ``name`` for images of this ``framing``."""
        spec: ProbeSpec = self.host.spec("probe", name)

        def build() -> Probe:
            sources = [self.probe(self._needed(spec, source), framing) for source in spec.needs]
            probe: Probe = self.host.build(spec, *self.paths(spec), *sources, framing=framing, **spec.options)
            for module in (probe, *vars(probe).values()):
                if isinstance(module, nn.Module):
                    self._freeze(module)
            for name, value in list(vars(probe).items()):
                if isinstance(value, Tensor):  # such as the mask of a region, which every step would copy
                    setattr(probe, name, value.to(self.device))
            return probe

        return self._once((spec.kind, spec.name, framing), build)

    def metric(self, name: str, framing: Framing) -> Metric:
        """Return the metric ``name`` for images of this ``framing``."""
        spec: MetricSpec = self.host.spec("metric", name)

        def build() -> Metric:
            metric: Metric = self.host.build(spec, *self.paths(spec), framing=framing, **spec.options)
            if isinstance(metric, nn.Module):
                self._freeze(metric)
            return metric

        return self._once((spec.kind, spec.name, framing), build)

    def paths(self, spec: Spec) -> list[Path]:
        """Return the weights files of ``spec``: the user's own, or the declared ones, fetched if missing."""
        own = self._files.get(spec.name)
        if own is not None:
            # Adopt only once: adopting hashes the file.
            if spec.name not in self._adopted:
                try:
                    self._adopted[spec.name] = self.store.adopt(spec.weights, own)
                except UntrustedError as error:
                    raise self._untrusted(error) from None
            return [self._adopted[spec.name]]
        return [self.store.path(name) for name in spec.weights]

    def _untrusted(self, first: UntrustedError) -> UntrustedError:
        """Return the refusal of all of the user's own files that are not trusted, so that one command names them."""
        if self.store.asks:
            return first
        facts = dict(first.facts)
        for name, file in self._files.items():
            # A file that cannot be used for another reason is refused when it is its turn.
            with suppress(WeightsError, UsageError):
                try:
                    self.store.adopt(self.host.weighted(name).weights, file)
                except UntrustedError as error:
                    facts |= error.facts
        return UntrustedError(facts)

    def hashes(self, spec: Spec) -> dict[str, str]:
        """Return the SHA-256 of each weights file that ``spec`` is built from, by name."""
        if spec.name in self._files:
            self.paths(spec)
            return {spec.weights[0]: self.store.sha256(spec.weights[0])}
        hashes = {name: self.store.sha256(name) for name in spec.weights}
        for source in getattr(spec, "needs", ()):
            hashes |= self.hashes(self.host.spec("probe", self._needed(spec, source)))
        return hashes

    def provenance(self, spec: Spec) -> dict[str, Any]:
        """Return everything but the core's own code that results of ``spec`` depend on, for cache keys."""
        made_of: dict[str, Any] = {
            "name": spec.name,
            "code": codes(self.host, [spec]),
            "options": dict(spec.options),
            "weights": self.hashes(spec),
        }
        needs = [self.host.spec("probe", self._needed(spec, source)) for source in getattr(spec, "needs", ())]
        return made_of | {"needs": [self.provenance(source) for source in needs]}

    def _needed(self, spec: Spec, source: str) -> str:
        """Return ``source``, a probe that ``spec`` is computed from.

        Raises:
            PluginError: if no plugin declares it.
        """
        if not self.host.knows("probe", source):
            hint = distribution_of(source)
            install = f": pip install {hint}" if hint else ""
            raise PluginError(
                f"The probe '{spec.name}' is computed from the probe '{source}', which no plugin declares{install}."
            )
        return source

    def _network(self, spec: Spec) -> Any:
        own = self._options.get(spec.name, {})
        refused = [name for name in own if name not in inspect.signature(load_target(spec)).parameters]
        if refused:
            raise UsageError(f"The {spec.kind} '{spec.name}' takes no option '{refused[0]}'.")
        paths = self.paths(spec)
        try:
            network = self.host.build(spec, *paths, **{**spec.options, **own})
        except WeightsError as error:
            raise WeightsError(f"{error}{self._whose_file(spec, error)}") from None
        return self._freeze(network) if isinstance(network, nn.Module) else network

    def _whose_file(self, spec: Spec, error: WeightsError) -> str:
        """Return a sentence that names the network of a user's own file, if it is a known one other than this."""
        own = self._files.get(spec.name)
        if own is None:
            return ""
        shapes = error.shapes if isinstance(error, TensorsError) else _shapes(own)
        names = identify_file(self.host, own, shapes)
        if not names or spec.name in names:
            return ""
        return f" {own} is a file of {' or '.join(names)}."

    def _freeze(self, module: nn.Module) -> nn.Module:
        return module.to(self.device, self.dtype).eval().requires_grad_(False)

    def _once(self, key: tuple[Hashable, ...], build: Callable[[], T]) -> T:
        if key not in self._built:
            self._built[key] = build()
        built: T = self._built[key]
        return built


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a file's tensors by name; nothing if it cannot be read."""
    try:
        return {name: tuple(tensor.shape) for name, tensor in read_tensors(file).items()}
    except WeightsError:
        return {}


def device_of(network: nn.Module) -> torch.device:
    """Return the device of a network's weights."""
    first: Tensor = next(iter(network.state_dict().values()))
    return first.device


def check_descriptors(descriptors: Tensor, spec: EncoderSpec) -> None:
    """Raise :class:`ShapeError` unless ``descriptors`` could have come from the encoder ``spec``."""
    if descriptors.ndim != 2 or descriptors.shape[1] != spec.dim:
        raise ShapeError(
            f"Descriptors of '{spec.name}' are (B, {spec.dim}), got {tuple(descriptors.shape)}; "
            "the file may come from another encoder."
        )
    if not torch.isfinite(descriptors).all():
        bad = int((~torch.isfinite(descriptors).all(1)).sum())
        raise ShapeError(f"{bad} of {len(descriptors)} descriptors hold NaN or infinity.")
    if (descriptors.abs().sum(1) == 0).any():
        raise ShapeError("A descriptor is all zeros, which no encoder returns; the file may be empty or incomplete.")
