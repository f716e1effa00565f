"""Cached tensors are used only if they are as they were written; otherwise they are made anew, with one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from faceinv.storage import load_or_make

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(True), "c": torch.zeros(0, 2, dtype=torch.half)}


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(torch.arange(6.0).numpy().tobytes()) + 9] ^= 1
    path.write_bytes(content)


def rewritten(change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Callable[[Path], None]:
    return lambda path: save_file(change(load_file(path)), path)


def swapped(path: Path) -> None:
    """Put a sound file of another name in its place."""
    other = path.with_name("other.safetensors")
    load_or_make(other, lambda: {"a": torch.ones(2, 3)})
    shutil.copy(other, path)


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        swapped,
        lambda path: path.write_bytes(path.read_bytes()[:-5]),
        lambda path: path.write_bytes(b""),
        rewritten(lambda tensors: tensors),  # as older versions did, without a digest
        rewritten(lambda tensors: {"d" + name: tensor for name, tensor in tensors.items()}),
        rewritten(lambda tensors: tensors | {"a": tensors["a"].view(3, 2)}),
        rewritten(lambda tensors: tensors | {"a": tensors["a"] * torch.nan}),
    ],
)
def test_what_is_not_as_it_was_written_is_made_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path, heard, made = tmp_path / "x.safetensors", [], []

    def make() -> dict[str, Tensor]:
        made.append(1)
        return TENSORS

    def same() -> bool:
        found = load_or_make(path, make, heard.append)
        return found.keys() == TENSORS.keys() and all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)

    assert same()
    assert same()
    assert (len(made), heard) == (1, [])
    damage(path)
    assert same()
    assert len(made) == 2
    assert len(heard) == 1
    assert heard[0].startswith(f"{path}: ")
    assert heard[0].endswith("; it is made anew.")
    assert same()
    assert len(made) == 2
