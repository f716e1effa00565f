"""Identify the network that a weights file belongs to.

If a network cannot load a file, the error message names the network that could. A file is identified by its SHA-256
if a plugin pins it, and otherwise by its *fingerprint*: the shapes of a few tensors that, together, only this network
has. A fingerprint is declared in :attr:`WeightSpec.fingerprint`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from faceinv.contracts.specs import WeightSpec


def identify(specs: Iterable[WeightSpec], shapes: Mapping[str, tuple[int, ...]], sha256: str = "") -> list[str]:
    """Return the names of the networks that a file with these tensors may belong to, sorted.

    Args:
        specs: Every declared weights file.
        shapes: Shape of each of the file's tensors, by name; empty if the file could not be read.
        sha256: The file's hash. If a spec pins it, only the specs that do are considered.

    Returns:
        The networks whose fingerprint matches. If several match, those with the longest one; an empty list if none.
    """
    known = list(specs)
    pinned = [spec for spec in known if sha256 and spec.sha256 == sha256]
    fitting = pinned or [spec for spec in known if spec.fingerprint and _fits(spec.fingerprint, shapes)]
    # A network that extends another also has the other's tensors: the longer fingerprint is more specific.
    longest = max((len(spec.fingerprint) for spec in fitting), default=0)
    return sorted({spec.name.rpartition("/")[0] for spec in fitting if len(spec.fingerprint) == longest})


def _fits(fingerprint: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    return all(tuple(shapes.get(name, ())) == tuple(shape) for name, shape in fingerprint.items())
