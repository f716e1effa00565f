"""Makers of the bank's columns: descriptors, measured attributes and crops, each with everything it depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from faceinv.bank.columns import Column
from faceinv.bank.frame import Part
from faceinv.bank.subset import Subset
from faceinv.contracts.data import Dataset
from faceinv.contracts.specs import EncoderSpec, Framing, ProbeSpec
from faceinv.models.batching import batch_size_for
from faceinv.models.loader import Loader
from faceinv.models.precision import bulk_encoder
from faceinv.plugins.code import MAKING, core_hash, module_hash
from faceinv.storage.hashing import fingerprint

#: What makes a bank, besides networks and probes.
_MODULES = ("bank",)


@dataclass(frozen=True)
class Maker:
    """A column and the function that computes its values from images ``(B, 3, H, W)``.

    Args:
        kind: What the values are.
        parts: Everything that the values depend on.
        shape: Shape of one value.
        view: Framing of the input images, which are brought to it as they are loaded.
        build: Builds the function for a batch size; called only if a value is missing.
        dtype: Type of the values.
        finite: True if a value that is not finite counts as missing.
    """

    kind: str
    parts: Mapping[str, object]
    shape: tuple[int, ...]
    view: Framing
    build: Callable[[int], Callable[[Tensor], Tensor]]
    dtype: torch.dtype = torch.float32
    finite: bool = False

    def column(self, folder: Path, rows: int, chunk: int) -> Column:
        """Return the column of a data set of ``rows`` images."""
        return Column(folder, self.kind, self.parts, rows, self.shape, self.dtype, chunk=chunk)


def embedding(
    loader: Loader, encoder: str, images: str, n: int, precision: str, compiled: bool, say: Callable[[str], None]
) -> Maker:
    """Return the maker of the descriptors of ``n`` images."""
    spec: EncoderSpec = loader.host.spec("encoder", encoder)
    parts: dict[str, object] = {
        "images": images,
        "encoder": loader.provenance(spec),
        "crop": asdict(spec.framing),
        "dtype": str(loader.dtype),
    }
    if precision != "fp32":
        parts["precision"] = precision

    def build(size: int) -> Callable[[Tensor], Tensor]:
        return bulk_encoder(
            loader.encoder(encoder),
            precision=precision,
            # Compiling takes longer than embedding a few images.
            compiled=compiled and n >= size,
            example=_crops(loader, encoder, size),
            say=say,
        )

    return Maker("descriptors", parts, (spec.dim,), spec.framing, build, finite=True)


def _crops(loader: Loader, encoder: str, n: int) -> Tensor:
    """Return ``n`` empty crops of an encoder."""
    spec: EncoderSpec = loader.host.spec("encoder", encoder)
    return torch.zeros(n, 3, *spec.framing.size, device=loader.device, dtype=loader.dtype)


def embedding_batch_size(loader: Loader, encoder: str) -> int:
    """Return how many images fit the cache in a pass through the encoder."""
    network, crop = loader.encoder(encoder), _crops(loader, encoder, 1)
    return batch_size_for(lambda: network(crop), network, loader.device)


def measuring(loader: Loader, name: str, frame: Framing, clean: Part, images: str) -> Maker:
    """Return the maker of a probe's attribute, measured on the clean part if it takes the whole frame."""
    spec: ProbeSpec = loader.host.spec("probe", name)
    framing = clean.framing if spec.whole_frame else frame
    probe = loader.probe(name, framing)
    parts = {
        "images": images,
        "probe": loader.provenance(spec),
        "framing": asdict(framing),
        "dtype": str(loader.dtype),
    }

    def build(size: int) -> Callable[[Tensor], Tensor]:
        return (lambda batch: probe.label(clean.cut(batch))) if spec.whole_frame else probe.label

    return Maker(spec.name, parts, tuple(probe.shape), frame, build)


def cropping(crop: Framing, images: str) -> Maker:
    """Return the maker of 8-bit crops."""
    parts = {"images": images, "crop": asdict(crop)}
    return Maker("crops", parts, (3, *crop.size), crop, lambda size: _to_8_bits, torch.uint8)


def _to_8_bits(images: Tensor) -> Tensor:
    return images.float().clamp(0, 1).mul(255).round().to(torch.uint8)


def images_key(loader: Loader, dataset: Dataset, frame: Framing, detector: str) -> str:
    """Return a hash of everything that the images in the frame depend on, with the code that computes on them."""
    parts: dict[str, object] = {
        "version": 2,
        "core": core_hash(*_MODULES, of=MAKING),
        "code": _code(dataset),
        "kind": f"{type(dataset).__module__}.{type(dataset).__qualname__}",
        "dataset": dataset.fingerprint(),
        "ids": hashlib.sha256("\n".join(dataset.ids).encode()).hexdigest(),
        "framing": None if dataset.framing is None else asdict(dataset.framing),
        "frame": asdict(frame),
    }
    if detector:
        parts["detector"] = loader.provenance(loader.host.spec("detector", detector))
    return fingerprint(parts)


def _code(dataset: Dataset) -> str:
    """Return a hash of the code that loads a data set's images."""
    kind = type(dataset.source if isinstance(dataset, Subset) else dataset)
    try:
        return module_hash(kind.__module__)
    except (ImportError, SyntaxError, ValueError):
        return ""  # defined in a notebook or at the prompt: there is no module
