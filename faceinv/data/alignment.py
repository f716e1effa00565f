"""Photographs brought into a framing: warped if their own framing is known, otherwise detected and aligned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from torch import Tensor

from faceinv.contracts.data import Dataset
from faceinv.contracts.networks import Detector, check_images
from faceinv.contracts.specs import Framing
from faceinv.data.images import rounded
from faceinv.errors import InputError, UsageError
from faceinv.framing import align, warp_between


def needs_detector(dataset: Dataset) -> bool:
    """Return whether faces have to be detected before images of ``dataset`` can be inverted or compared."""
    return dataset.framing is None or dataset.framing_is_approximate


def align_photograph(image: Tensor, detector: Detector, framing: Framing) -> Tensor:
    """Detect the most prominent face in a photograph and bring it into ``framing``.

    Args:
        image: ``(3, H, W)`` in ``[0, 1]``.
        detector: Finds faces.
        framing: The framing to bring the face into.

    Returns:
        ``(3, *framing.size)`` in ``[0, 1]``.

    Raises:
        InputError: no face is found, or the image is too small.
    """
    check_images(image[None])
    faces = detector(image)
    if len(faces) == 0:
        raise InputError(f"No face was found in the image of {image.shape[2]}x{image.shape[1]} pixels.")
    try:
        return align(image, faces.points[0].cpu().numpy(), framing)
    except ValueError as error:
        raise InputError(f"The detected face cannot be aligned: {error}") from error


def aligner(framing: Framing, source: Framing | None, detector: Detector | None) -> Callable[[Tensor], Tensor]:
    """Return a function that brings an image ``(3, H, W)`` of a data set into ``framing``.

    Args:
        framing: The framing to bring faces into.
        source: The images' framing, or ``None`` if faces have to be detected.
        detector: Finds faces; unused if ``source`` is known.

    Raises:
        UsageError: faces have to be detected and there is no detector.
    """
    if source is not None:
        # Between equal framings, whatever their names, the warp returns its input.
        warp = warp_between(source, framing)
        return lambda image: warp(image[None])[0]
    if detector is None:
        raise UsageError(
            "Faces must be detected in these images, but there is no detector: pip install faceinv-plugins."
        )
    return lambda image: align_photograph(image, detector, framing)


def aligned_images(
    dataset: Dataset,
    candidates: Iterable[int],
    framing: Framing,
    detector: Detector | None,
    *,
    per_person: int = 0,
    taken: Mapping[str, int] | None = None,
) -> Iterator[tuple[int, Tensor | InputError]]:
    """Yield the images ``candidates`` of ``dataset`` in ``framing``, rounded to 8 bits, with their indices.

    Each is loaded when it is asked for. An image that cannot be used gives its :class:`InputError` instead, and
    does not count for its person.

    Args:
        dataset: Where the images come from.
        candidates: Indices of images, in order.
        framing: The framing to bring faces into.
        detector: Finds faces; used only if :func:`needs_detector` is true.
        per_person: Maximum number of images of one person; 0 means no limit.
        taken: Images that each person has already.

    Raises:
        UsageError: faces have to be detected and there is no detector.
    """
    bring = aligner(framing, None if needs_detector(dataset) else dataset.framing, detector)
    people = dataset.ids if dataset.identities is None else dataset.identities
    counts = Counter(taken)
    for index in candidates:
        if per_person and counts[people[index]] >= per_person:
            continue
        try:
            image = rounded(bring(dataset.load(index)))
        except InputError as error:
            yield index, error
        except OSError as error:
            yield index, InputError(f"The image cannot be read: {error.strerror or error}.")
        else:
            counts[people[index]] += 1
            yield index, image
