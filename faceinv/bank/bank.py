"""The descriptor bank: every image of a data set decoded and framed once, embedded and measured in the same pass.

The results are kept in columns (:mod:`faceinv.bank.columns`), each named by the hash of everything that it depends on:
descriptors by data set, encoder and framing; a measured attribute by data set, probe and framing, so that a second
encoder reuses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from faceinv.bank.columns import CHUNK, Column, filling
from faceinv.bank.frame import PORTRAIT, clean_part, whole_part
from faceinv.bank.makers import Maker, cropping, embedding, embedding_batch_size, images_key, measuring
from faceinv.contracts.data import Dataset
from faceinv.contracts.progress import Reporter
from faceinv.contracts.specs import Framing
from faceinv.data.alignment import aligner, needs_detector
from faceinv.data.prefetch import Frames, default_workers
from faceinv.errors import InputError
from faceinv.framing import view_between
from faceinv.hardware import sent
from faceinv.models.loader import Loader
from faceinv.storage.hashing import fingerprint

#: Batch size if nothing is embedded.
_USUAL_BATCH = 64


@dataclass(frozen=True)
class Bank:
    """Values of all images of a data set. Tensors are mapped from files and read only when used.

    Args:
        ids: The data set's ids, one per row.
        frame: Framing that the images were brought to.
        descriptors: ``(N, D)`` float32, as the encoder's system stores them; ``(N, 0)`` without an encoder.
        attributes: Probe → measured attribute ``(N, *shape)`` float32.
        crops: ``(N, 3, h, w)`` uint8, if they were asked for.
        usable: ``(N,)`` bool: rows that have values. The others hold NaN, and 0 in ``crops``.
        skipped: (id, reason) of each row that is not usable, and of each image that the data set left out itself.
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


@dataclass(frozen=True)
class BankSettings:
    """How the images are framed and embedded, and in what portions.

    Args:
        frame: Framing for embedding and measuring; by default the data set's own, and
            :data:`~faceinv.bank.frame.PORTRAIT` if it declares none.
        crop: Also keep the images in this framing, as 8-bit pixels, for networks that are trained on them.
        detector: Name of the detector; needed, and used, only if the data set declares no framing.
        as_targets: Bring images into the frame as targets are brought there: faces are detected even if the data set
            declares an approximate framing, and attributes of the whole frame are measured with its borders.
        precision: Precision of the encoder's convolutions and products, ``"fp32"`` or ``"bf16"``; descriptors are
            float32.
        compile: Compile the encoder if possible; the values do not depend on it.
        workers: Threads that load images; by default one per core, at most 8.
        batch_size: Images at a time; by default as many as the cache holds of the encoder's largest layer, and 64
            if nothing is embedded.
        chunk: Images that are written, and lost to a kill, together.
    """

    frame: Framing | None = None
    crop: Framing | None = None
    detector: str = ""
    as_targets: bool = False
    precision: str = "fp32"
    compile: bool = False
    workers: int | None = None
    batch_size: int | None = None
    chunk: int = CHUNK

    def detector_for(self, dataset: Dataset) -> str:
        """Return the detector that finds the faces of a data set; nothing if its framing is known."""
        unknown = needs_detector(dataset) if self.as_targets else dataset.framing is None
        return self.detector if unknown else ""


def open_bank(
    loader: Loader,
    dataset: Dataset,
    encoder: str = "",
    probes: Sequence[str] = (),
    settings: BankSettings | None = None,
    *,
    folder: Path,
    progress: Reporter | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Bank:
    """Return the bank of a data set; compute whatever is missing in one pass over the images.

    A probe whose spec says ``whole_frame`` is measured inside the data set's ``clean_box``. All others are measured on
    the whole frame, whose coordinates landmarks are in.

    Args:
        loader: Builds the networks; an encoder is built only if descriptors are missing.
        dataset: The images.
        encoder: Name of the encoder, or nothing.
        probes: Names of the probes whose attribute is measured on the images (:meth:`Probe.label`).
        settings: How the images are framed and embedded.
        folder: Folder of all banks.
        progress: Called with (what, done, of).
        say: Called with remarks.

    Raises:
        UsageError: if faces have to be found and there is no detector.
        InputError: if no image can be used.
        StorageError: if the folder cannot be written; values that were computed are kept.
    """
    settings = settings or BankSettings()
    frame = settings.frame or dataset.framing or PORTRAIT
    detector = settings.detector_for(dataset)
    n, images = len(dataset.ids), images_key(loader, dataset, frame, detector)
    part = whole_part(frame) if settings.as_targets else clean_part(dataset, frame)
    makers: dict[str, Maker] = {}
    if encoder:
        makers["descriptors"] = embedding(loader, encoder, images, n, settings.precision, settings.compile, say)
    for name in dict.fromkeys(probes):
        makers[f"probe {name}"] = measuring(loader, name, frame, part, images)
    if settings.crop is not None:
        makers["crops"] = cropping(settings.crop, images)
    columns = {what: maker.column(folder, n, settings.chunk) for what, maker in makers.items()}

    def waiting() -> None:
        if progress:
            progress("waiting for another process that fills this bank", 0, 1)

    with filling(columns, waiting, say) as missing:
        if missing:
            bring = aligner(frame, *((None, loader.detector(detector)) if detector else (dataset.framing, None)))
            todo = [(column, makers[what]) for what, column in missing.items()]
            seen = {maker.view: view_between(frame, maker.view) for _, maker in todo}

            def load(row: int) -> Iterator[Tensor]:
                image = bring(dataset.load(row))
                return (view(image) for view in seen.values())

            fitting = embedding_batch_size if "descriptors" in missing else lambda *given: _USUAL_BATCH
            size = settings.batch_size or fitting(loader, encoder)
            workers = settings.workers or default_workers()
            frames = Frames(load, [framing.size for framing in seen], workers, size)
            _fill(todo, list(seen), frames, size, loader, progress)
    return _bank(dataset, frame, columns)


def _fill(
    missing: Sequence[tuple[Column, Maker]],
    views: Sequence[Framing],
    frames: Frames,
    size: int,
    loader: Loader,
    progress: Reporter | None,
) -> None:
    """Compute the missing values of the columns, a chunk at a time."""
    chunks = sorted({chunk for column, _ in missing for chunk in column.missing()})
    functions = [maker.build(size) for _, maker in missing]
    what = "embedding images" if any(maker.finite for _, maker in missing) else "measuring images"
    rows = missing[0][0].rows
    done = rows - sum(len(missing[0][0].span(chunk)) for chunk in chunks)
    with frames:
        for chunk, batches in zip(chunks, frames.read([missing[0][0].span(chunk) for chunk in chunks]), strict=True):
            span = missing[0][0].span(chunk)
            values = [_blank(len(span), maker) for _, maker in missing]
            # An image that cannot be loaded is missing everywhere, one that an encoder fails on only in its column.
            skipped: list[dict[int, str]] = [{} for _ in missing]
            for batch in batches:
                for reasons in skipped:
                    reasons.update(batch.failed)
                if batch.rows:
                    images = [sent(view, loader.device, loader.dtype) for view in batch.views]
                    for (_, maker), make, made, reasons in zip(missing, functions, values, skipped, strict=True):
                        seen = images[views.index(maker.view)]
                        reasons.update(_compute(maker, make, seen, batch.rows, made, span.start))
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
    maker: Maker, make: Callable[[Tensor], Tensor], images: Tensor, rows: Sequence[int], into: Tensor, first: int
) -> dict[int, str]:
    """Write the values of images into their rows, counted from ``first``; return the reasons of failures."""
    made = make(images).to("cpu", maker.dtype)
    into[torch.tensor(rows) - first] = made
    if not maker.finite:
        return {}
    finite = torch.isfinite(made).flatten(1).all(1).tolist()
    return {row: "Its descriptor is not finite." for row, fine in zip(rows, finite, strict=True) if not fine}


def _blank(rows: int, maker: Maker) -> Tensor:
    blank = torch.zeros if maker.dtype == torch.uint8 else lambda *size, dtype: torch.full(size, math.nan, dtype=dtype)
    return blank(rows, *maker.shape, dtype=maker.dtype)


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
