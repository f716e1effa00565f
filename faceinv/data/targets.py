"""Targets: chosen from a data set, brought into the generator's framing, and kept as the files of a run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import torch
from torch import Tensor

from faceinv.contracts.data import Dataset
from faceinv.contracts.networks import Detector
from faceinv.contracts.specs import Framing
from faceinv.data.alignment import aligned_images, needs_detector
from faceinv.data.images import read_image, write_image
from faceinv.errors import InputError, StorageError, UsageError
from faceinv.storage.atomic import write_atomically
from faceinv.storage.hashing import file_sha256

_INDEX = "index.json"


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The images of a data set that are targets, and those that were skipped.

    Args:
        ids: One for each target.
        identities: The person in each image, or ``None`` if the data set does not know.
        real: Whether the images are photographs, as opposed to samples of the generator.
        skipped: (id, reason) of each image that could not be used.
        aligned: ``"detected"`` if faces were detected and aligned, otherwise the name of the data set's framing.
    """

    ids: tuple[str, ...]
    identities: tuple[str, ...] | None
    real: bool
    skipped: tuple[tuple[str, str], ...]
    aligned: str = ""


@dataclass(frozen=True, kw_only=True)
class TargetFiles(Targets):
    """Targets kept as one PNG each in a folder; only the rows that are asked for are in memory.

    Args:
        folder: Holds ``00000.png`` and so on.
        digest: Hash of all images.
    """

    folder: Path
    digest: str

    def images(self, rows: range) -> Tensor:
        """Return the images ``(n, 3, H, W)`` in ``[0, 1]`` of these rows."""
        return torch.stack([read_image(self.file(row)) for row in rows])

    def file(self, row: int) -> Path:
        """Return the file of target ``row``."""
        return _file(self.folder, row)

    def link(self, row: int, path: Path) -> None:
        """Make ``path`` the file of target ``row``: a hard link if the file system supports it, otherwise a copy."""
        path.unlink(missing_ok=True)
        try:
            os.link(self.file(row), path)
        except OSError:
            shutil.copyfile(self.file(row), path)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which images of a data set become targets.

    Args:
        limit: Maximum number of targets; ``None`` takes all usable images.
        per_person: Maximum number of targets of one person; 0 takes all.
        min_photographs: Number of images that a person must have in the data set to be a target.
        skip: Number of usable images to skip first, as if they had been taken.

    Raises:
        UsageError: ``limit`` is less than 1 or ``skip`` less than 0.
    """

    limit: int | None
    per_person: int = 0
    min_photographs: int = 1
    skip: int = 0

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"The limit of targets is {self.limit}; it must be at least 1.")
        if self.skip < 0:
            raise UsageError(f"The number of targets to skip is {self.skip}; it must be 0 or more.")

    def candidates(self, dataset: Dataset) -> list[int]:
        """Return the indices of the images that may become targets, in order.

        Raises:
            UsageError: images of a data set that must be used as a whole would be skipped, or targets are selected
                by person and the data set has no identities.
            InputError: nobody has enough photographs.
        """
        if self.skip and dataset.whole:
            raise UsageError("This data set must be used as a whole: --skip would leave images out.")
        people = dataset.identities
        if people is None:
            if self.per_person or self.min_photographs > 1:
                raise UsageError(
                    "Targets cannot be selected by person: the data set has no identities. "
                    "Omit --per-person and --min-photographs, or give each person a sub-folder."
                )
            return list(range(len(dataset.ids)))
        photographs = Counter(people)
        candidates = [k for k, person in enumerate(people) if photographs[person] >= self.min_photographs]
        if not candidates:
            raise InputError(
                f"Nobody has {self.min_photographs} photographs in the data set; the most that one person has is "
                f"{max(photographs.values(), default=0)} (--min-photographs)."
            )
        return candidates


def choose_targets(
    dataset: Dataset,
    framing: Framing,
    selection: Selection,
    keep: Callable[[Tensor], None],
    *,
    real: bool,
    detector: Detector | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Targets:
    """Select the first usable images of ``dataset`` and pass them to ``keep`` one by one, in ``framing``.

    Images in another framing are warped; if the framing is unknown or only approximate, the most prominent face is
    detected and aligned. Values are rounded to 256 levels, so that a target equals its PNG.

    Args:
        dataset: Where the images come from.
        framing: The generator's framing.
        selection: Which images to use.
        keep: Takes each image ``(3, *framing.size)`` in ``[0, 1]``.
        real: Whether the images are photographs.
        detector: Finds faces; needed only if the data set's framing is unknown or approximate.
        progress: Called with the number of images done, and the greatest number there may be.

    Raises:
        UsageError: faces have to be detected and there is no detector, or the selection does not suit the data set.
        InputError: no image can be used, or only a part of a data set that must be used as a whole.
    """
    candidates = selection.candidates(dataset)
    used: list[int] = []
    passed = 0
    skipped: list[tuple[str, str]] = []
    for index, image in aligned_images(dataset, candidates, framing, detector, per_person=selection.per_person):
        if isinstance(image, InputError):
            skipped.append((dataset.ids[index], str(image)))
        elif passed < selection.skip:
            passed += 1
        else:
            keep(image)
            used.append(index)
        if progress is not None:
            most = len(candidates) if selection.limit is None else selection.limit + selection.skip + len(skipped)
            progress(passed + len(used) + len(skipped), min(most, len(candidates)))
        if len(used) == selection.limit:
            break
    _check_used(dataset, len(used), skipped, passed)
    people = dataset.identities
    source = None if needs_detector(dataset) else dataset.framing
    return Targets(
        ids=tuple(dataset.ids[index] for index in used),
        identities=None if people is None else tuple(people[index] for index in used),
        real=real,
        skipped=tuple(skipped),
        aligned="detected" if source is None else source.name,
    )


def target_files(
    folder: Path,
    choose: Callable[[Callable[[Tensor], None]], Targets],
    say: Callable[[str], None] = lambda text: None,
) -> TargetFiles:
    """Return the targets in ``folder``; if there are none, call ``choose`` and keep its images there.

    If several processes ask at once, one makes the files and the others wait. If the index or one of the files is
    missing or not as it was written, all are made again.

    Args:
        folder: A folder for these targets alone.
        choose: Passes each image ``(3, H, W)`` to its argument, in order, and returns which targets they are.
        say: Called with a remark if files were damaged.

    Raises:
        StorageError: the folder cannot be written.
    """
    found = read_targets(folder)
    if found is not None:
        return found
    digest = hashlib.sha256()
    files: list[str] = []

    def keep(image: Tensor) -> None:
        digest.update(image.numpy().tobytes())
        file = _file(folder, len(files))
        write_image(image, file)
        files.append(file_sha256(file))

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{folder}.lock"):
            found = read_targets(folder)
            if found is None:
                if (folder / _INDEX).exists():
                    say(f"{folder}: a target is damaged or missing; all are made again.")
                chosen = vars(choose(keep)) | {"digest": digest.hexdigest()[:16]}
                _write(folder, chosen | {"files": files})
                found = TargetFiles(**chosen, folder=folder)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written: {error.strerror or error}.") from error
    return found


def _file(folder: Path, row: int) -> Path:
    return folder / f"{row:05d}.png"


def _write(folder: Path, index: Mapping[str, Any]) -> None:
    checked = {**index, "sha256": _checksum(index)}
    write_atomically(folder / _INDEX, json.dumps(checked, ensure_ascii=False).encode())


def _checksum(index: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()


def read_targets(folder: Path) -> TargetFiles | None:
    """Return the targets if the index and all files are as they were written, else ``None``."""
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        if index.pop("sha256") != _checksum(index):
            return None
        if any(file_sha256(_file(folder, row)) != known for row, known in enumerate(index["files"])):
            return None
        return TargetFiles(
            ids=tuple(index["ids"]),
            identities=None if index["identities"] is None else tuple(index["identities"]),
            real=index["real"],
            skipped=tuple((name, reason) for name, reason in index["skipped"]),
            aligned=index["aligned"],
            folder=folder,
            digest=index["digest"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _check_used(dataset: Dataset, used: int, skipped: list[tuple[str, str]], passed: int) -> None:
    """Raise :class:`InputError` if no image is used, or only a part of a data set that must be used as a whole."""
    if not used:
        if passed:
            raise InputError(f"All {passed} usable images of the data set are skipped (--skip).")
        if not skipped:
            raise InputError("The data set has no images.")
        name, reason = skipped[0]
        raise InputError(f"None of the {len(skipped)} images can be used as a target; the first, '{name}': {reason}")
    if dataset.whole and used < len(dataset.ids):
        first = f"; the first unusable one, '{skipped[0][0]}': {skipped[0][1]}" if skipped else ""
        raise InputError(
            f"Only {used} of {len(dataset.ids)} images would be used, but this data set must be used as a whole"
            f"{first}. "
            f"Use folder:PATH for a part (and --limit {len(dataset.ids)} for the whole)."
        )
