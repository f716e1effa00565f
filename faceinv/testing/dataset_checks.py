"""Checks of data sets: stable order and ids, images that keep the contract, splits disjoint by identity."""

from __future__ import annotations

import io
import os
import shutil

import torch
from PIL import Image

from faceinv.contracts.data import Dataset
from faceinv.contracts.specs import Framing
from faceinv.data.images import image_suffixes
from faceinv.errors import FaceinvError
from faceinv.plugins.registry import load_target
from faceinv.testing.checks import CheckFailed, NotApplicable, check, require
from faceinv.testing.subjects import Subject
from faceinv.testing.watch import untouched

#: The most bytes of a data set that are copied, to be changed.
_COPIED = 1 << 26


@check("dataset", fix="Derive the class from faceinv.contracts.Dataset, and set ids to one string per image.")
def ids_are_unique(subject: Subject) -> None:
    """There is at least one image, and each has a unique id, a string."""
    data = subject.built
    require(isinstance(data, Dataset), f"{subject}: the factory returns a {type(data).__name__}.")
    require(len(data.ids) > 0, f"{subject} has no images at {subject.path}.")
    require(
        all(isinstance(name, str) and name for name in data.ids), f"{subject} has ids that are empty or not strings."
    )
    require(len(set(data.ids)) == len(data.ids), f"{subject} has duplicate ids.")


@check("dataset", fix="Sort file listings, and draw random numbers only from the context's seed.")
def order_is_stable(subject: Subject) -> None:
    """Opened again, it has the same ids, identities, fingerprint and images in the same order."""
    one, two = subject.built, subject.open()
    require(list(one.ids) == list(two.ids), f"{subject}: opened again, its ids or their order differ.")
    who = [None if data.identities is None else list(data.identities) for data in (one, two)]
    require(who[0] == who[1], f"{subject}: opened again, its identities differ.")
    require(one.fingerprint() == two.fingerprint(), f"{subject}: opened again, its fingerprint differs.")
    for index in range(min(2, len(one.ids))):
        same = torch.equal(one.load(index), two.load(index))
        require(same, f"{subject}: opened again, image '{one.ids[index]}' differs.")


@check("dataset", fix="Do not override fingerprint, or return faceinv.data.content_fingerprint(ids, files).")
def fingerprint_follows_content(subject: Subject) -> None:
    """Other images give another fingerprint, even if their files keep name, size and time."""
    before = subject.built.fingerprint()
    if not subject.spec.takes_path:
        other = subject.open(seed=1)
        if torch.equal(other.load(0), subject.built.load(0)):
            raise NotApplicable("its images do not depend on the seed")
        require(other.fingerprint() != before, f"{subject}: another seed changes its images, not its fingerprint.")
        return
    # Names, sizes and times stay as they are.
    folder = subject.path or subject.folder
    every = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    files = [file for file in every if file.suffix.lower() in image_suffixes()]
    if not files or sum(file.stat().st_size for file in every) > _COPIED:
        raise NotApplicable("it has no image files, or too many to copy")
    copy = subject.folder / "edited"
    shutil.copytree(folder, copy)
    for file in (copy / name.relative_to(folder) for name in files):
        state = file.stat()
        with Image.open(file) as image:
            size, form = image.size, image.format
        buffer = io.BytesIO()
        Image.new("RGB", size, (10, 200, 30)).save(buffer, form)
        # One colour takes few bytes, and decoders ignore what follows an image.
        file.write_bytes(buffer.getvalue().ljust(state.st_size, b"\0"))
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    edited = load_target(subject.spec)(copy, context=subject.context(), **subject.spec.options)
    require(edited.fingerprint() != before, f"{subject}: its images change, and its fingerprint does not.")


@check("dataset", fix="Let image k depend only on the seed and on k, so that a larger limit only adds images.")
def limit_only_adds(subject: Subject) -> None:
    """A larger limit does not change the first images."""
    few, many = subject.open(limit=2), subject.open(limit=5)
    n = min(2, len(few.ids))
    require(list(few.ids[:n]) == list(many.ids[:n]), f"{subject}: the limit changes which images come first.")
    for index in range(n):
        same = torch.equal(few.load(index), many.load(index))
        require(same, f"{subject}: image '{few.ids[index]}' depends on the limit.")


@check("dataset", fix="Return float32 RGB (3, H, W) in [0, 1], of framing.size if there is a framing.")
def images_as_declared(subject: Subject) -> None:
    """Images are float32 (3, H, W) in [0, 1], of the framing's size, and the same when loaded twice."""
    data = subject.built
    require(data.framing is None or isinstance(data.framing, Framing), f"{subject}: its framing is {data.framing!r}.")
    for index in range(min(3, len(data.ids))):
        image = data.load(index)
        require(image.ndim == 3 and len(image) == 3, f"{subject}: an image is {tuple(image.shape)}, not (3, H, W).")
        require(image.dtype == torch.float32, f"{subject}: an image is {image.dtype}.")
        low, high = float(image.min()), float(image.max())
        require(low >= 0 and high <= 1, f"{subject}: an image's pixels run from {low:.3g} to {high:.3g}.")
        if data.framing is not None:
            size, expected = tuple(image.shape[1:]), tuple(data.framing.size)
            require(size == expected, f"{subject}: an image is {size}, its framing {expected}.")
        require(torch.equal(image, data.load(index)), f"{subject}: loaded twice, image '{data.ids[index]}' differs.")


@check("dataset", fix="Give one identity, annotation and split per id, or None.")
def one_of_each_per_image(subject: Subject) -> None:
    """Identities, annotations and splits have one entry per image."""
    data, n = subject.built, len(subject.built.ids)
    require(data.identities is None or len(data.identities) == n, f"{subject}: identities and ids differ in number.")
    for name, values in getattr(data, "annotations", {}).items():
        require(
            tuple(values.shape) == (n,), f"{subject}: annotation '{name}' is {tuple(values.shape)}; expected {(n,)}."
        )
    splits = getattr(data, "splits", None)
    require(splits is None or len(splits) == n, f"{subject}: splits and ids differ in number.")


@check("dataset", fix="If identities are known, split by person, not by image.")
def splits_share_nobody(subject: Subject) -> None:
    """Splits are named train, val and test, and no identity is in two of them."""
    data = subject.built
    splits = getattr(data, "splits", None)
    if splits is None:
        raise NotApplicable("it is not split")
    unknown = sorted(set(splits) - {"train", "val", "test"})
    require(not unknown, f"{subject} has an unknown split '{', '.join(unknown)}'; allowed are train, val and test.")
    if data.identities is not None:
        places: dict[str, set[str]] = {}
        for who, part in zip(data.identities, splits, strict=True):
            places.setdefault(who, set()).add(part)
        shared = sorted(who for who, parts in places.items() if len(parts) > 1)
        require(
            not shared, f"{subject}: {len(shared)} people are in more than one split, such as '{''.join(shared[:1])}'."
        )


@check("dataset", fix="Raise faceinv.errors.InputError if the path does not exist, and UsageError if there is none.")
def missing_path_is_reported(subject: Subject) -> None:
    """A path that does not exist raises one of faceinv's errors, not a traceback."""
    if not subject.spec.takes_path:
        raise NotApplicable("it takes no path")
    missing = subject.folder / "no-such-place"
    try:
        data = load_target(subject.spec)(missing, context=subject.context(), **subject.spec.options)
        data.load(0)
    except FaceinvError:
        return
    except Exception as error:
        raise CheckFailed(f"{subject}: a missing path raises {type(error).__name__}, not InputError.") from error
    raise CheckFailed(f"{subject} opens a path that does not exist.")


@check("dataset", fix="Draw from a torch.Generator seeded with the context's seed.")
def running_touches_no_global_state(subject: Subject) -> None:
    """Opening it and loading an image does not change random states or torch's settings."""
    with untouched(str(subject)):
        subject.open().load(0)
