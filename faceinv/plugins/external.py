"""Encoders that no plugin declares, named by where they are: ``onnx:FILE``, ``encoder.yaml``, ``hf:OWNER/REPO``."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from pathlib import PurePath

from faceinv.contracts.specs import EncoderSpec, WeightSpec

#: How such a name begins, and what follows.
SCHEMES = {
    "onnx": "FILE.onnx",
    "torch": "FILE.pt2",
    "torchscript": "FILE.pt",
    "hf": "OWNER/REPO",
    "timm": "NAME",
    "command": "PROGRAM",
    "http": "//HOST/PATH",
    "https": "//HOST/PATH",
}
_SUFFIXES = {".onnx": "onnx", ".pt2": "torch", ".yaml": "yaml", ".yml": "yaml"}
#: Imported when such a name is first used, because it reads files with torch.
_DECLARE = "faceinv.models.external.declare:declare"


@dataclass(frozen=True)
class External:
    """What a plugin would declare.

    Args:
        spec: The encoder.
        weights: Its files, which are used where they are.
        owner: Where it comes from, for messages; without a path.
    """

    spec: EncoderSpec
    weights: tuple[WeightSpec, ...]
    owner: str


def is_external(name: str) -> bool:
    """Return whether a name says where an encoder is."""
    return parts_of(name) is not None


def declare_external(name: str, *, offline: bool) -> External:
    """Return the declaration of the encoder that ``name`` leads to.

    Args:
        name: The name.
        offline: Whether the network must not be used.

    Raises:
        FaceinvError: if there is none, or it cannot be used.
    """
    parts = parts_of(name)
    assert parts is not None
    made: External = pkgutil.resolve_name(_DECLARE)(*parts, offline=offline)
    return made


def parts_of(name: str) -> tuple[str, str] | None:
    """Return what an external encoder is and where; ``None`` for any other name."""
    scheme, colon, rest = name.partition(":")
    if colon and scheme in SCHEMES:
        # "http:" may stand before an address that says so itself.
        return parts_of(rest) if scheme in ("http", "https") and not rest.startswith("//") else (scheme, rest)
    suffix = _SUFFIXES.get(PurePath(name).suffix.lower())
    return (suffix, name) if suffix else None
