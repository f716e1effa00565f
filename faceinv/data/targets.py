"""Target images: any data set brought into the generator's framing, what cannot be used said and skipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from faceinv.contracts.data import Dataset
from faceinv.contracts.networks import Detector, check_images
from faceinv.contracts.specs import Framing
from faceinv.errors import InputError, UsageError
from faceinv.framing import align, warp_between


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which images of a data set are targets, and what became of the rest.

    Args:
        ids: One for each target.
        identities: Who is in each image, or ``None`` where the data set does not know.
        real: Whether the images are photographs, or come from the generator.
        skipped: (id, reason) of each image that could not be used.
        aligned: ``"detected"`` where each face was found and aligned, otherwise the name of the data set's
            framing.
    """

    ids: tuple[str, ...]
    identities: tuple[str, ...] | None
    real: bool
    skipped: tuple[tuple[str, str], ...]
    aligned: str = ""


@dataclass(frozen=True, kw_only=True)
class Targets(Chosen):
    """Images to be reconstructed, in memory.

    Args:
        images: ``(N, 3, *framing.size)`` in ``[0, 1]``, in the generator's framing.
    """

    images: Tensor


def load_targets(
    dataset: Dataset,
    framing: Framing,
    *,
    limit: int | None,
    detector: Detector | None,
    real: bool,
    per_person: int = 0,
    min_photographs: int = 1,
    skip: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Targets:
    """Load the first usable images of ``dataset`` in ``framing``; arguments and errors as of :func:`choose_targets`."""
    images: list[Tensor] = []
    chosen = choose_targets(
        dataset,
        framing,
        images.append,
        limit=limit,
        detector=detector,
        real=real,
        per_person=per_person,
        min_photographs=min_photographs,
        skip=skip,
        progress=progress,
    )
    return Targets(**vars(chosen), images=torch.stack(images))


def choose_targets(
    dataset: Dataset,
    framing: Framing,
    keep: Callable[[Tensor], None],
    *,
    limit: int | None,
    detector: Detector | None,
    real: bool,
    per_person: int = 0,
    min_photographs: int = 1,
    skip: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Chosen:
    """Hand the first usable images of ``dataset`` to ``keep``, one by one in ``framing``, and say which they are.

    Images in another framing are warped; where the framing is not known, or but approximate, the most prominent
    face is found and aligned. Values are rounded to 256 levels: the PNG that is written of a target is the target.

    Args:
        dataset: Where the images come from.
        framing: The generator's framing.
        keep: Takes each image ``(3, *framing.size)`` in ``[0, 1]``.
        limit: How many usable images to stop at; ``None`` takes all.
        detector: Finds faces; needed, and used, only where :func:`needs_detector` says so.
        real: Whether the images are photographs.
        per_person: How many usable images of one person to stop at; 0 takes all.
        min_photographs: How many images a person must have in the data set to be taken at all.
        skip: How many usable images to pass over first, as if they had been taken.
        progress: Told how many images have been looked at, and how many there are at most.

    Raises:
        UsageError: ``limit`` is less than 1 or ``skip`` than 0, a part of a data set is asked for that is taken
            whole, faces have to be found and there is no detector, or targets are to be chosen by person and the
            data set does not know who is who.
        InputError: no image can be used.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"The limit of targets is {limit}; it must be at least 1.")
    if skip < 0:
        raise UsageError(f"{skip} targets cannot be passed over; it must be 0 or more.")
    if skip and dataset.whole:
        raise UsageError("This data set's name stands for all of its images: --skip would leave some out.")
    source = None if needs_detector(dataset) else dataset.framing
    who = dataset.identities
    candidates = _candidates(who, len(dataset.ids), per_person, min_photographs)
    bring = way_into(framing, source, detector)
    taken: Counter[str] = Counter()
    used: list[int] = []
    passed = 0
    skipped: list[tuple[str, str]] = []
    for index in candidates:
        name = dataset.ids[index]
        if who is not None and per_person and taken[who[index]] == per_person:
            continue
        try:
            image = rounded(bring(dataset.load(index)))
        except InputError as error:
            skipped.append((name, str(error)))
        else:
            taken.update([who[index]] if who is not None else [])
            if passed < skip:
                passed += 1
            else:
                keep(image)
                used.append(index)
        if progress is not None:
            looked = passed + len(used) + len(skipped)
            progress(looked, _expected(len(candidates), limit, skip + len(skipped)))
        if len(used) == limit:
            break
    if not used:
        raise InputError(_none_usable(skipped, passed))
    if dataset.whole and len(used) < len(dataset.ids):
        first = f"; the first that cannot be used, '{skipped[0][0]}': {skipped[0][1]}" if skipped else ""
        raise InputError(
            f"{len(used)} of the {len(dataset.ids)} images would be used, and this data set's name stands for all "
            f"of them{first}. Use folder:PATH for a part (and --limit {len(dataset.ids)} for the whole)."
        )
    return Chosen(
        ids=tuple(dataset.ids[index] for index in used),
        identities=None if who is None else tuple(who[index] for index in used),
        real=real,
        skipped=tuple(skipped),
        aligned="detected" if source is None else source.name,
    )


def needs_detector(dataset: Dataset) -> bool:
    """Say whether the faces of an inversion's targets have to be found in the images of ``dataset``."""
    return dataset.framing is None or dataset.framing_is_approximate


def align_photograph(image: Tensor, detector: Detector, framing: Framing) -> Tensor:
    """Find the most prominent face in a photograph and bring it into ``framing``.

    Args:
        image: ``(3, H, W)`` in ``[0, 1]``.
        detector: Finds faces.
        framing: Where the face is wanted.

    Returns:
        ``(3, *framing.size)`` in ``[0, 1]``.

    Raises:
        InputError: no face is found, or the image is too small to look for one.
    """
    check_images(image[None])
    faces = detector(image)
    if len(faces) == 0:
        raise InputError(f"No face was found in the image of {image.shape[2]}x{image.shape[1]} pixels.")
    try:
        return align(image, faces.points[0].cpu().numpy(), framing)
    except ValueError as error:
        raise InputError(f"The face that was found cannot be aligned: {error}") from error


def way_into(framing: Framing, source: Framing | None, detector: Detector | None) -> Callable[[Tensor], Tensor]:
    """Return what brings an image ``(3, H, W)`` of the data set into ``framing``.

    Args:
        framing: Where the face is wanted.
        source: The images' framing, or ``None`` where faces have to be found.
        detector: Finds faces; not used where ``source`` is known.

    Raises:
        UsageError: faces have to be found and there is no detector.
    """
    if source is not None:
        # Between equal framings, whatever their names, the warp passes images through.
        warp = warp_between(source, framing)
        return lambda image: warp(image[None])[0]
    if detector is None:
        raise UsageError("Faces have to be found in these images, and there is no detector: pip install faceinv-mtcnn.")
    return lambda image: align_photograph(image, detector, framing)


def _candidates(who: Sequence[str] | None, n: int, per_person: int, min_photographs: int) -> list[int]:
    """Return the places of images that may be targets, in order."""
    if who is None:
        if per_person or min_photographs > 1:
            raise UsageError(
                "Targets cannot be chosen by person: the data set does not know who is who. "
                "Leave --per-person and --min-photographs out, or give each person a sub-folder."
            )
        return list(range(n))
    photographs = Counter(who)
    candidates = [index for index in range(n) if photographs[who[index]] >= min_photographs]
    if not candidates:
        raise InputError(
            f"Nobody has {min_photographs} photographs in the data set; the most anybody has is "
            f"{max(photographs.values(), default=0)} (--min-photographs)."
        )
    return candidates


def rounded(image: Tensor) -> Tensor:
    """Return an image as an 8-bit file would hold it."""
    return image.detach().cpu().float().clamp(0, 1).mul(255).round().div(255)


def _expected(total: int, limit: int | None, not_taken: int) -> int:
    return total if limit is None else min(total, limit + not_taken)


def _none_usable(skipped: list[tuple[str, str]], passed: int) -> str:
    if passed:
        return f"The data set has {passed} images that can be used, and all of them are passed over (--skip)."
    if not skipped:
        return "The data set has no images."
    name, reason = skipped[0]
    return f"None of the {len(skipped)} images can be used as a target; the first, '{name}': {reason}"
