"""Telling whose a weights file is when it is not the one that is due."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from faceinv.contracts.specs import WeightSpec


def recognise(specs: Iterable[WeightSpec], shapes: Mapping[str, tuple[int, ...]], sha256: str = "") -> list[str]:
    """Return the networks that a file with these tensors belongs to, by name; none where nothing fits.

    Args:
        specs: Every declared weights file.
        shapes: Shape of each of the file's tensors, by name; empty where it could not be read.
        sha256: The file's hash; a pinned one settles the matter.
    """
    known = list(specs)
    pinned = [spec for spec in known if sha256 and spec.sha256 == sha256]
    fitting = pinned or [spec for spec in known if spec.fingerprint and _fits(spec.fingerprint, shapes)]
    # A network that extends another has the other's tensors and more: the longer fingerprint is the truer.
    longest = max((len(spec.fingerprint) for spec in fitting), default=0)
    return sorted({spec.name.rpartition("/")[0] for spec in fitting if len(spec.fingerprint) == longest})


def _fits(fingerprint: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    return all(tuple(shapes.get(name, ())) == tuple(shape) for name, shape in fingerprint.items())
