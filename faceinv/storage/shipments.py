"""Folders of tensors that plugins ship, and why a file in one is not the file that is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open


@dataclass(frozen=True)
class Shipment:
    """A folder of tensors, each file under the name that :class:`faceinv.storage.tensors.TensorCache` gives it.

    Args:
        folder: The folder, which is only read.
        owner: The distribution that it belongs to, for messages.
    """

    folder: Path
    owner: str


def made_of_others(folder: Path, what: str, parts: Any) -> str:
    """Return how the parts of a shipped file differ from those that are needed; nothing if there is no such file.

    Args:
        folder: The shipment's folder.
        what: What the file contains, the start of its name.
        parts: What is needed, as JSON. A file counts if it was made from networks and probes of the same names.
    """
    for shipped in _parts(folder, what):
        if _names(shipped) == _names(parts):
            found = list(dict.fromkeys(_differences(shipped, parts)))
            # Wherever the samples differ, their whitening does too.
            named = [difference for difference in found if difference != "whitening"] or found
            return ", ".join(f"another {difference}" for difference in named)
    return ""


def made_for(folder: Path, what: str, encoder: str, generator: str, pairs: int, core: str) -> bool:
    """Return whether a folder has a file that was made from so many pairs of these networks, by this core."""
    wanted = (encoder, generator, pairs, core)
    found = (parts["pairs"] for parts in _parts(folder, what) if isinstance(parts.get("pairs"), dict))
    return any(
        (_name(of.get("encoder")), _name(of.get("generator")), of.get("number of pairs"), of.get("core")) == wanted
        for of in found
    )


def _name(network: Any) -> Any:
    return network.get("name") if isinstance(network, dict) else None


def _parts(folder: Path, what: str) -> Iterator[dict[str, Any]]:
    """Yield what each file in a folder was made of; one that cannot be read is passed over."""
    for file in sorted(folder.glob(f"{what}-*.safetensors")):
        try:
            with safe_open(file, "pt") as opened:
                parts = json.loads((opened.metadata() or {}).get("parts", "{}"))
        except (SafetensorError, OSError, ValueError):
            continue
        if isinstance(parts, dict):
            yield parts


def _names(parts: Any) -> list[str]:
    """Return the names of networks and probes: what stands under ``name`` at any depth."""
    if not isinstance(parts, dict):
        return []
    own = [parts["name"]] if isinstance(parts.get("name"), str) else []
    return own + [name for _, inner in sorted(parts.items()) for name in _names(inner)]


def _differences(shipped: Any, needed: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield what differs, such as ``code of the encoder``; a number with its shipped value."""
    if isinstance(shipped, dict) and isinstance(needed, dict):
        for key in sorted({**shipped, **needed}):
            yield from _differences(shipped.get(key), needed.get(key), (*path, key))
    elif shipped != needed:
        # The first two steps of the path, such as encoder and code, say enough.
        *owner, what = [step for step in path if step != "pairs"][:2]
        value = f" ({shipped:,})" if isinstance(shipped, int) else ""
        yield what + "".join(f" of the {name}" for name in owner) + value
