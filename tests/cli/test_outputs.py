"""Files that commands write: never over an input, never twice, never in a folder of something else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from faceinv.data import read_image, write_image

CHAIN = ["--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--losses", "id", "--pairs", "200"]

#: Pictures of the user's own that happen to be named like ours.
MINE = ("mine/00001.png", "mine/00002.png", "mine/contact.png")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with images, latents and links to them."""
    monkeypatch.chdir(tmp_path)
    rng = torch.Generator().manual_seed(0)
    for name in (
        "me.png",
        "inverted/me-target.png",
        "p.png",
        "p-start.png",
        "s1/a.png",
        "s2/a.png",
        "s1/a-2.png",
        *MINE,
    ):
        write_image(torch.rand(3, 16, 16, generator=rng), name)
    shutil.copy("me.png", "me.jpg")
    np.save("z.npy", np.zeros((2, 6), np.float32))
    Path("out").mkdir()
    Path("out/link.npy").symlink_to("../z.npy")
    os.link("z.npy", "out/hard.npy")
    return tmp_path


@pytest.mark.parametrize(
    ("args", "word"),
    [
        ("embed me.png --aligned --encoder toy --out me.png", "me.png is an input"),
        ("embed z.npy --aligned --encoder toy --out z.npy", "z.npy is an input"),
        ("synthesize --generator toy-faces --latents z.npy --out z.npy", "z.npy is an input"),
        ("synthesize --generator toy-faces --latents z.npy --out out/link.npy", "z.npy is an input"),
        ("synthesize --generator toy-faces --latents z.npy --out out/hard.npy", "z.npy is an input"),
        ("synthesize --generator toy-faces --seeds 3,3 --out out", "out/00003.png would be written twice"),
        ("invert me.png --out .", "me.png is an input"),
        ("synthesize --generator toy-faces --seeds 2 --out mine", "mine/00002.png exists and is not from an earlier"),
        ("synthesize --generator toy-faces --latents z.npy --out mine", "mine/00001.png exists"),
        ("invert me.jpg --out .", "me.png exists and is not from an earlier call"),
        ("bench --out mine", "mine/contact.png exists and is not from an earlier call"),
        ("invert me.png inverted/me-target.png", "inverted/me-target.png is an input"),
        ("invert p.png p-start.png --out out", "out/p-start.png would be written twice"),
        ("invert s1/a.png s2/a.png s1/a-2.png --out out", "out/a-2.png would be written twice"),
    ],
)
def test_no_input_is_written_over_and_no_file_twice(run, cache: Path, here: Path, args: str, word: str) -> None:
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    command, *rest = args.split()
    result = run(command, *rest, *(CHAIN if command in ("invert", "bench") else []))
    assert result.code == 2, result.err
    assert word in result.err
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_pictures_are_named_by_their_seed(run, here: Path) -> None:
    for seeds in ("0-1", "7"):
        assert run("synthesize", "--generator", "toy-faces", "--seeds", seeds, "--out", "faces").code == 0
    assert sorted(path.name for path in Path("faces").glob("[!.]*")) == ["00000.png", "00001.png", "00007.png"]
    assert not torch.equal(read_image("faces/00000.png"), read_image("faces/00007.png"))


def test_every_image_that_cannot_be_used_is_named(run, here: Path) -> None:
    for name in ("text.jpg", "zero.jpg"):
        Path(name).write_bytes(name.encode()[:4])
    result = run("embed", "me.png", "text.jpg", "zero.jpg", "--aligned", "--encoder", "toy", "--out", "d.npy")
    assert result.code == 3
    assert "text.jpg" in result.err
    assert "zero.jpg" in result.err
