"""Score the pictures of finished cells again: with other critics and metrics, or to check what a record says."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faceinv.bench.cell import Cell
from faceinv.bench.judge import Judge, Judgement
from faceinv.bench.leaks import LEAK_COLUMNS
from faceinv.bench.naming import metrics_of, rescored_id, scoring_code
from faceinv.bench.record import plugins_of, summary
from faceinv.bench.resources import Resources
from faceinv.contracts.progress import Reporter
from faceinv.data.images import decode_image
from faceinv.data.prefetch import Frames, default_workers
from faceinv.data.targets import Targets
from faceinv.errors import InputError, StorageError, shown
from faceinv.plugins.external import is_external
from faceinv.storage.columns import check_rows
from faceinv.storage.parts import Parts
from faceinv.storage.records import SCHEMA, CellConfig, FinishedCell, read_cell
from faceinv.storage.regular import open_inside
from faceinv.storage.run_folder import RunFolder, environment
from faceinv.storage.schema import finite

#: What makes the pictures of a run again.
_REMEDY = "the command that made the run makes it again"
#: Columns of a cell's rows that are no scores of its pictures, before and after those that are.
_NOT_SCORED = (("target", "identity"), LEAK_COLUMNS)


@dataclass(frozen=True)
class Kept:
    """A finished cell and its pictures.

    Args:
        record: Its record.
        rows: Its values, one per target, by column.
        root: The folder that holds the pictures; nothing outside it is read.
        pictures: The folder of this cell's pictures, in ``root`` or the same.
    """

    record: FinishedCell
    rows: Mapping[str, Sequence[Any]]
    root: Path
    pictures: Path

    @cached_property
    def cell(self) -> Cell:
        """The cell."""
        return cell_of(self.record.config)

    @property
    def targets(self) -> Targets:
        """Its targets."""
        people = self.rows.get("identity")
        return Targets(
            ids=tuple(map(str, self.rows["target"])),
            identities=None if people is None else tuple(map(str, people)),
            real=bool(self.record.real),
            skipped=tuple((name, reason) for name, reason in self.record.skipped),
            aligned=self.record.aligned or "",
        )

    def content(self, name: str) -> bytes:
        """Return the content of a file that the record names.

        Raises:
            InputError: if it is missing, or not what the record says.
        """
        path, known = self.pictures / name, self.record.digests.get(name, "")
        try:
            with open_inside(self.root, path) as file:
                content = file.read()
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror or error}); {_REMEDY}.") from None
        if hashlib.sha256(content).hexdigest() != known:
            raise InputError(f"{path} was changed after its record was written; {_REMEDY}.")
        return content

    def pairs(self) -> Iterator[tuple[range, Tensor, Tensor]]:
        """Yield the rows, targets and reconstructions ``(n, 3, H, W)`` of each batch; a tensor is good for one turn.

        The batches are those of the run: numbers agree to the last digit only between equal batches.

        Raises:
            InputError: if a picture is missing or was changed.
        """
        height, width = self._picture(0, "-target").shape[1:]

        def load(row: int) -> tuple[Tensor, Tensor]:
            target, found = self._picture(row, "-target"), self._picture(row, "")
            for image in (target, found):
                if image.shape != (3, height, width):
                    raise InputError(f"{self.pictures}: the pictures of target {row} have another size.")
            return target, found

        size = self.record.batch_size or 1
        with Frames(load, [(height, width)] * 2, default_workers(), size) as frames:
            (batches,) = frames.read([range(self.record.n)])
            for number, batch in enumerate(batches):
                if batch.failed:
                    raise InputError(next(iter(batch.failed.values())))
                first = number * size
                targets, results = batch.views
                yield range(first, first + len(batch.rows)), targets, results

    def _picture(self, row: int, what: str) -> Tensor:
        name = f"{row:05d}{what}.png"
        return decode_image(io.BytesIO(self.content(name)), str(self.pictures / name))


def cell_of(config: CellConfig) -> Cell:
    """Return the cell that a record describes.

    Raises:
        InputError: if an encoder is named by where it is: the program or service would be run.
    """
    for name in (config.encoder, *config.critics):
        if is_external(name):
            raise InputError(f"The record has the encoder '{shown(name)}', a place and not a name; it is not used.")
    values: dict[str, Any] = {field.name: getattr(config, field.name) for field in fields(Cell)}
    values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return Cell(**values)


def kept_cells(run: Path) -> Iterator[Kept | InputError]:
    """Yield the finished cells of a run, and an error for each record that cannot be scored again.

    Raises:
        InputError: if the run has no record, or none of a finished cell.
    """
    folder, found = RunFolder(run), False
    for path in sorted(folder.records.glob("*.json")):
        try:
            record = read_cell(path)
            if not isinstance(record, FinishedCell):
                continue
            yield _kept(folder, record)
        except (OSError, ValueError) as error:
            yield InputError(f"{path} cannot be scored again: {error}.")
        except InputError as error:
            yield error
        found = True
    if not found:
        raise InputError(f"The folder '{run}' holds no finished cell: 'faceinv bench --out {run}' writes them.")


def _kept(folder: RunFolder, record: FinishedCell) -> Kept:
    path = folder.record_path(record.id)
    if record.kind != "bench":
        raise InputError(f"{path} is of 'faceinv {record.kind}', which keeps no data set; only bench can be rescored.")
    if record.schema_number != SCHEMA or not record.digests or not record.checksum:
        raise InputError(
            f"{path} was written by an older version, without the hashes of its pictures; run its command again."
        )
    rows = folder.columns(record.id, record.digests.get(folder.rows_path(record.id).name, ""), record.n)
    check_rows(rows, record.n)
    return Kept(record, rows, folder.path, folder.images_folder(record.id))


class Rescorer:
    """Scores kept pictures, with the networks and the code that score a run.

    Args:
        resources: Builds networks and data sets; its run folder is where new records go.
        progress: Called with (what, done, of).
        say: Called with remarks.
    """

    def __init__(
        self,
        resources: Resources,
        *,
        progress: Reporter | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._resources = resources
        self._host, self._folder = resources.host, resources.folder
        self._progress, self._say = progress, say
        self._judges: dict[str, Judge] = {}

    def scores(self, kept: Kept, cell: Cell, label: str = "scoring") -> Judgement:
        """Return the scores of a cell's pictures.

        Args:
            kept: The pictures.
            cell: The cell, with the critics and metrics that score it.
            label: Label of the progress.

        Raises:
            InputError: if a picture or the data set is missing or was changed.
        """
        judge = self._judge(kept.record.targets)
        columns: dict[str, list[float]] = {}
        descriptors: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
        left_out: dict[str, str] = {}
        for rows, targets, results in kept.pairs():
            pairs = judge.pairs(cell, targets, results, rows)
            left_out |= pairs.left_out
            for name, values in pairs.columns.items():
                columns.setdefault(name, []).extend(values)
            for name, (own, found) in pairs.descriptors.items():
                for place, part in zip(descriptors.setdefault(name, ([], [])), (own, found), strict=True):
                    place.append(part)
            if self._progress:
                self._progress(label, rows.stop, kept.record.n)
        return judge.judge(
            cell,
            kept.targets,
            columns | self._ceilings(kept, cell),
            {name: (torch.cat(own), torch.cat(found)) for name, (own, found) in descriptors.items()},
            left_out,
            dataset=self._resources.dataset(cell)[0],
            recognition=self._resources.recognition_dataset(cell),
            leaked=self._resources.leaked_too(cell),
        )

    def rescore(self, kept: Kept, cell: Cell, label: str = "scoring") -> tuple[FinishedCell, bool]:
        """Score a cell's pictures and write the record, the rows and links to the pictures.

        Args:
            kept: The pictures.
            cell: The cell, with the critics and metrics that score it.
            label: Label of the progress.

        Returns:
            The record, and whether it existed before.

        Raises:
            InputError: if a picture or the data set is missing or was changed.
            StorageError: if the run folder cannot be written.
        """
        began = time.perf_counter()
        weights, code = self.weights(kept, cell), scoring_code(self._host, cell)
        name = rescored_id(kept.record.checksum, cell, weights, code)
        known = self._folder.finished(name, self._say)
        if known:
            return known, True
        scores = self.scores(kept, cell, label)
        with Parts(self._folder, name).locked():
            digests = self._link_pictures(kept, name)
            before, after = ({key: kept.rows[key] for key in keys if key in kept.rows} for keys in _NOT_SCORED)
            scored = finite({**scores.columns, **scores.protocol_columns})
            digests |= self._folder.write_rows(name, {**before, **scored, **after})
            facts = self._facts(kept, cell, scores) | {
                "weights": weights,
                "code": code,
                "plugins": {**kept.record.plugins, **plugins_of(self._host, code)},
                "digests": digests,
                "seconds": {**kept.record.seconds.as_json(), "score": round(time.perf_counter() - began, 3)},
            }
            return self._folder.write(FinishedCell.of(name, facts)), False

    def weights(self, kept: Kept, cell: Cell) -> dict[str, str]:
        """Return the hash of every file and data set that scores depend on, by name.

        Raises:
            InputError: if the attacked encoder or the data set is not the one of the run.
        """
        # The losses, what they learned from and what they ran on have no part in the scores, nor what a scheme learned.
        scored = replace(cell, losses=(), probe_data="", probe_data_limit=0, surrogate="", protection_options={})
        weights = self._resources.weights(scored)
        for name in (*self._host.spec("encoder", cell.encoder).weights, "data set", "labels"):
            before, now = kept.record.weights.get(name), weights.get(name)
            if before != now and None not in (before, now):
                raise InputError(
                    f"{name} is not what cell {kept.record.id} was made with: its hash is {str(now)[:16]}, and the "
                    f"record has {str(before)[:16]}."
                )
        return weights

    def _judge(self, targets: str) -> Judge:
        """Return the judge of these targets; it keeps their descriptors for other cells with the same ones."""
        if targets not in self._judges:
            self._judges.clear()
            self._judges[targets] = Judge(self._resources.loader, progress=self._progress, say=self._say)
        return self._judges[targets]

    def _ceilings(self, kept: Kept, cell: Cell) -> dict[str, list[float]]:
        """Return the scores of the expected images, which depend on the attack's training and not on the scoring."""
        names = [f"{spec.name}_ceiling" for spec in metrics_of(self._host, cell) if spec.ceiling]
        return {
            name: [float("nan") if value is None else value for value in kept.rows[name]]
            for name in names
            if name in kept.rows
        }

    def _facts(self, kept: Kept, cell: Cell, scores: Judgement) -> dict[str, Any]:
        """Return the keys of the parent's record, with the new scores in place of its own."""
        record, people = kept.record, kept.targets.identities
        facts = {key: value for key, value in record.as_json().items() if key not in ("schema", "id", "checksum")}
        for name in kept.cell.metrics:
            facts.pop(name, None)
        if facts.get("leak"):
            facts["leak"] = {**facts["leak"], "judged_by": list(cell.critics)}
        if facts.get("answers") and cell.critics != kept.cell.critics:
            # How many of several answers are accepted was judged by the run's own critics.
            facts["answers"] = {**facts["answers"], "accepted": []}
        own = [text for text in record.warnings if text not in kept.cell.warnings]
        return facts | {
            "config": asdict(cell),
            "environment": environment(),
            "warnings": [*cell.warnings, *own],
            "metrics": {
                name: summary(self._host, cell, name, values, people) for name, values in scores.columns.items()
            },
            "recognition": scores.recognition,
            **scores.protocols,
            "left_out": scores.left_out,
            "parent": {
                "id": record.id,
                "checksum": record.checksum,
                "weights": record.weights,
                "code": record.code,
            },
        }

    def _link_pictures(self, kept: Kept, name: str) -> dict[str, str]:
        """Make the parent's pictures those of the record ``name`` too, and return their digests."""
        folder, found = self._folder.images_folder(name), dict(kept.record.digests)
        found.pop(RunFolder(kept.root).rows_path(kept.record.id).name, None)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for file in found:
                kept.content(file)
                (folder / file).unlink(missing_ok=True)
                try:
                    os.link(kept.pictures / file, folder / file)
                except OSError:
                    shutil.copyfile(kept.pictures / file, folder / file)
        except OSError as error:
            raise StorageError(f"{folder}: cannot be written: {error.strerror or error}.") from error
        return found
