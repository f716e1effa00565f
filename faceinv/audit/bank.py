"""The descriptor bank: every image of a data set decoded and framed once, embedded and measured in the same pass.

What is computed is kept in columns (:mod:`faceinv.audit.columns`), each named by the hash of everything that it
depends on: descriptors by data set, encoder and framing; a measured attribute by data set, probe and framing,
so that a second encoder finds it there.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from faceinv.audit.columns import Column, filling
from faceinv.audit.settings import Subset
from faceinv.contracts.data import Dataset
from faceinv.contracts.progress import Reporter
from faceinv.contracts.specs import EncoderSpec, Framing, ProbeSpec
from faceinv.data.alignment import aligner
from faceinv.data.prefetch import Frames, default_workers
from faceinv.errors import InputError
from faceinv.framing import apply_similarity, framing_similarity, pixel_points, view_between
from faceinv.models.batching import batch_size_for
from faceinv.models.loader import Loader
from faceinv.models.precision import bulk_encoder
from faceinv.plugins.code import core_hash, module_hash
from faceinv.storage.hashing import fingerprint

#: The frame that faces are brought to where a data set declares none. It holds the crops that encoders
#: are trained on: its five points are the mean face in FaceNet's crop, three quarters as large.
PORTRAIT = Framing(
    name="portrait-224",
    size=(224, 224),
    points=((0.370, 0.420), (0.630, 0.420), (0.500, 0.543), (0.385, 0.653), (0.615, 0.653)),
)

#: Images at a time where none is embedded.
_USUAL_BATCH = 64


@dataclass(frozen=True)
class Bank:
    """What is known of the images of a data set. Tensors are mapped from files: nothing is read before it is used.

    Args:
        ids: The data set's, one for each row.
        frame: What the images were brought to.
        descriptors: ``(N, D)`` float32, as the encoder's system stores them; ``(N, 0)`` without an encoder.
        attributes: Probe → measured attribute ``(N, *shape)`` float32.
        crops: ``(N, 3, h, w)`` uint8, where they were asked for.
        usable: ``(N,)`` bool: rows that have values. The others hold NaN, and 0 in ``crops``.
        skipped: (id, reason) of each row that is not usable, and of what the data set left out itself.
        key: Hash of everything that the values depend on.
    """

    ids: Sequence[str]
    frame: Framing
    descriptors: Tensor
    attributes: Mapping[str, Tensor]
    crops: Tensor | None
    usable: Tensor
    skipped: tuple[tuple[str, str], ...]
    key: str


def open_bank(
    loader: Loader,
    dataset: Dataset,
    encoder: str = "",
    probes: Sequence[str] = (),
    *,
    folder: Path,
    frame: Framing | None = None,
    crop: Framing | None = None,
    detector: str = "",
    workers: int | None = None,
    batch_size: int | None = None,
    precision: str = "fp32",
    compiled: bool = False,
    progress: Reporter | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Bank:
    """Return the bank of a data set; what is missing of it is computed in one pass over the images.

    A probe whose spec says ``whole_frame`` is measured inside the data set's ``clean_box``, every other on the
    whole frame, in whose coordinates landmarks are.

    Args:
        loader: Builds the networks; an encoder is not built where its descriptors are there.
        dataset: The images.
        encoder: Name of the encoder, or nothing.
        probes: Names of the probes whose attribute is measured on the images (:meth:`Probe.label`).
        folder: Where banks are kept.
        frame: What images are brought to before they are embedded and measured; by default the data set's own
            framing, and :data:`PORTRAIT` where it declares none.
        crop: Keep the images in this framing too, as 8-bit pixels, for networks that are trained on them.
        detector: Name of the detector; needed, and used, only where the data set declares no framing.
        workers: Threads that load images; by default one for each core, at most 8.
        batch_size: Images at a time; by default as many as the cache holds of the encoder's largest layer, and 64
            where nothing is embedded.
        precision: Of the encoder's convolutions and products, ``"fp32"`` or ``"bf16"``; descriptors are float32.
        compiled: Whether torch.compile makes the encoder, where it can; what is kept does not tell.
        progress: Called with (what, done, of).
        say: Called with remarks.

    Raises:
        UsageError: faces have to be found and there is no detector.
        InputError: no image can be used.
        StorageError: the folder cannot be written; what was computed is kept.
    """
    frame = frame or dataset.framing or PORTRAIT
    images = _images_key(loader, dataset, frame, detector)
    tasks: dict[str, _Task] = {}
    if encoder:

        def build(size: int) -> Callable[[Tensor], Tensor]:
            return bulk_encoder(
                loader.encoder(encoder),
                precision=precision,
                # Compiling takes longer than a few images do.
                compiled=compiled and len(dataset.ids) >= size,
                example=_crops(loader, encoder, size),
                say=say,
            )

        tasks["descriptors"] = _embedding(loader, encoder, images, precision, build)
    for name in dict.fromkeys(probes):
        tasks[f"probe {name}"] = _measuring(loader, name, frame, clean_part(dataset, frame), images)
    if crop is not None:
        tasks["crops"] = _cropping(crop, images)
    columns = {what: task.column(folder, len(dataset.ids)) for what, task in tasks.items()}

    def waiting() -> None:
        if progress:
            progress("waiting for another process that fills this bank", 0, 1)

    with filling(columns, waiting) as missing:
        if missing:
            found = loader.detector(detector) if dataset.framing is None and detector else None
            bring = aligner(frame, dataset.framing, found)
            todo = [(column, tasks[what]) for what, column in missing.items()]
            seen = {task.view: view_between(frame, task.view) for _, task in todo}

            def load(row: int) -> Iterator[Tensor]:
                image = bring(dataset.load(row))
                return (view(image) for view in seen.values())

            size = batch_size or (_batch_size(loader, encoder) if "descriptors" in missing else _USUAL_BATCH)
            frames = Frames(load, [framing.size for framing in seen], workers or default_workers(), size)
            _fill(todo, list(seen), frames, size, loader, progress)
    return _bank(dataset, frame, columns)


@dataclass(frozen=True)
class Part:
    """A part of a frame, in whole pixels.

    Args:
        rows: From the top.
        columns: From the left.
        framing: Where the face sits in what is cut out.
    """

    rows: slice
    columns: slice
    framing: Framing

    def cut(self, images: Tensor) -> Tensor:
        """Return this part of images ``(B, 3, H, W)``."""
        return images[:, :, self.rows, self.columns]


def clean_part(dataset: Dataset, frame: Framing) -> Part:
    """Return the part of ``frame`` that shows the photograph in every image of the data set.

    Raises:
        InputError: no pixel of the frame does.
    """
    height, width = frame.size
    if dataset.clean_box is None or dataset.framing is None:
        return Part(slice(0, height), slice(0, width), frame)
    left, top, right, bottom = dataset.clean_box
    corners = np.array([(left, top), (right, top), (left, bottom), (right, bottom)]) * dataset.framing.size[::-1]
    x, y = apply_similarity(framing_similarity(dataset.framing, frame), corners).T
    # The upright box inside: a similarity between framings may turn it by a little. Whole pixels only.
    first = [max(0, math.ceil(max(x[0], x[2]) - 1e-6)), max(0, math.ceil(max(y[0], y[1]) - 1e-6))]
    last = [min(width, math.floor(min(x[1], x[3]) + 1e-6)), min(height, math.floor(min(y[2], y[3]) + 1e-6))]
    size = (last[1] - first[1], last[0] - first[0])
    if min(size) < 1:
        raise InputError(f"The part of the images that is free of borders lies outside the frame '{frame.name}'.")
    points = (pixel_points(frame) - first) / size[::-1]
    a, b, c, d, e = ((float(px), float(py)) for px, py in points)
    return Part(
        slice(first[1], last[1]), slice(first[0], last[0]), Framing(f"{frame.name}-clean", size, (a, b, c, d, e))
    )


@dataclass(frozen=True)
class _Task:
    """A column, and what makes its values of images ``(B, 3, H, W)``.

    Args:
        kind: What it is.
        parts: What the values depend on.
        shape: Of one value.
        view: The framing of the images that it takes; they are brought to it as they are loaded.
        build: Makes the function, when a value is missing, for batches of so many.
        dtype: Of the values.
        finite: Whether a value that is not finite is none.
    """

    kind: str
    parts: Mapping[str, object]
    shape: tuple[int, ...]
    view: Framing
    build: Callable[[int], Callable[[Tensor], Tensor]]
    dtype: torch.dtype = torch.float32
    finite: bool = False

    def column(self, folder: Path, rows: int) -> Column:
        return Column(folder, self.kind, self.parts, rows, self.shape, self.dtype)


def _embedding(
    loader: Loader, encoder: str, images: str, precision: str, build: Callable[[int], Callable[[Tensor], Tensor]]
) -> _Task:
    spec: EncoderSpec = loader.host.spec("encoder", encoder)
    parts: dict[str, object] = {
        "images": images,
        "encoder": loader.provenance(spec),
        "crop": asdict(spec.framing),
        "dtype": str(loader.dtype),
    }
    if precision != "fp32":
        parts["precision"] = precision
    return _Task("descriptors", parts, (spec.dim,), spec.framing, build, finite=True)


def _crops(loader: Loader, encoder: str, n: int) -> Tensor:
    """Return so many empty crops of an encoder."""
    spec: EncoderSpec = loader.host.spec("encoder", encoder)
    return torch.zeros(n, 3, *spec.framing.size, device=loader.device, dtype=loader.dtype)


def _batch_size(loader: Loader, encoder: str) -> int:
    network, crop = loader.encoder(encoder), _crops(loader, encoder, 1)
    return batch_size_for(lambda: network(crop), network, loader.device)


def _measuring(loader: Loader, name: str, frame: Framing, clean: Part, images: str) -> _Task:
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

    return _Task(spec.name, parts, tuple(probe.shape), frame, build)


def _cropping(crop: Framing, images: str) -> _Task:
    parts = {"images": images, "crop": asdict(crop)}
    return _Task("crops", parts, (3, *crop.size), crop, lambda size: _to_8_bits, torch.uint8)


def _to_8_bits(images: Tensor) -> Tensor:
    return images.float().clamp(0, 1).mul(255).round().to(torch.uint8)


def _images_key(loader: Loader, dataset: Dataset, frame: Framing, detector: str) -> str:
    """Return a hash of what the images in the frame depend on."""
    parts: dict[str, object] = {
        "version": 2,
        "core": core_hash("audit"),
        "code": _code(dataset),
        "kind": f"{type(dataset).__module__}.{type(dataset).__qualname__}",
        "dataset": dataset.fingerprint(),
        "ids": hashlib.sha256("\n".join(dataset.ids).encode()).hexdigest(),
        "framing": None if dataset.framing is None else asdict(dataset.framing),
        "frame": asdict(frame),
    }
    if dataset.framing is None and detector:
        parts["detector"] = loader.provenance(loader.host.spec("detector", detector))
    return fingerprint(parts)


def _code(dataset: Dataset) -> str:
    """Return a hash of the code that loads a data set's images."""
    kind = type(dataset.source if isinstance(dataset, Subset) else dataset)
    try:
        return module_hash(kind.__module__)
    except (ImportError, SyntaxError, ValueError):
        return ""  # written in a notebook or at the prompt: there is no module


def _fill(
    missing: Sequence[tuple[Column, _Task]],
    views: Sequence[Framing],
    frames: Frames,
    size: int,
    loader: Loader,
    progress: Reporter | None,
) -> None:
    """Compute what is missing of the columns, a chunk at a time."""
    chunks = sorted({chunk for column, _ in missing for chunk in column.missing()})
    makers = [task.build(size) for _, task in missing]
    what = "embedding images" if any(task.finite for _, task in missing) else "measuring images"
    rows = missing[0][0].rows
    done = rows - sum(len(missing[0][0].span(chunk)) for chunk in chunks)
    with frames:
        for chunk, batches in zip(chunks, frames.read([missing[0][0].span(chunk) for chunk in chunks]), strict=True):
            span = missing[0][0].span(chunk)
            values = [_blank(len(span), task) for _, task in missing]
            # What cannot be loaded is missing everywhere; what an encoder fails on, in its own column.
            skipped: list[dict[int, str]] = [{} for _ in missing]
            for batch in batches:
                for reasons in skipped:
                    reasons.update(batch.failed)
                if batch.rows:
                    images = [view.to(loader.device, loader.dtype) for view in batch.views]
                    for (_, task), make, made, reasons in zip(missing, makers, values, skipped, strict=True):
                        seen = images[views.index(task.view)]
                        reasons.update(_compute(task, make, seen, batch.rows, made, span.start))
                done += len(batch.rows) + len(batch.failed)
                if progress:
                    progress(what, done, rows)
            for (column, _), made, reasons in zip(missing, values, skipped, strict=True):
                if chunk in column.missing():
                    column.write(chunk, made, reasons)
    for column, _ in missing:
        column.finish()


@torch.inference_mode()
def _compute(
    task: _Task, make: Callable[[Tensor], Tensor], images: Tensor, rows: Sequence[int], into: Tensor, first: int
) -> dict[int, str]:
    """Put the values of images into their rows, counted from ``first``; return what failed."""
    made = make(images).to("cpu", task.dtype)
    into[torch.tensor(rows) - first] = made
    if not task.finite:
        return {}
    finite = torch.isfinite(made).flatten(1).all(1).tolist()
    return {row: "Its descriptor is not finite." for row, fine in zip(rows, finite, strict=True) if not fine}


def _blank(rows: int, task: _Task) -> Tensor:
    blank = torch.zeros if task.dtype == torch.uint8 else lambda *size, dtype: torch.full(size, math.nan, dtype=dtype)
    return blank(rows, *task.shape, dtype=task.dtype)


def _bank(dataset: Dataset, frame: Framing, columns: Mapping[str, Column]) -> Bank:
    n = len(dataset.ids)
    skipped: dict[int, str] = {}
    for column in columns.values():
        skipped |= column.skipped()
    usable = torch.ones(n, dtype=torch.bool)
    usable[list(skipped)] = False
    if not usable.any():
        first = f"; the first, '{dataset.ids[0]}': {skipped[0]}" if n else ""
        raise InputError(f"None of the {n} images can be used{first}")
    values = {what: column.values() for what, column in columns.items()}
    return Bank(
        ids=dataset.ids,
        frame=frame,
        descriptors=values.get("descriptors", torch.empty(n, 0)),
        attributes={what[6:]: tensor for what, tensor in values.items() if what.startswith("probe ")},
        crops=values.get("crops"),
        usable=usable,
        skipped=(*dataset.skipped, *((dataset.ids[row], skipped[row]) for row in sorted(skipped))),
        key=fingerprint({what: column.key for what, column in columns.items()}),
    )
