"""StyleGAN2's files on the command line: conversion, trust, synthesis, and files of other networks."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from faceinv_stylegan2.generator import build
from safetensors import safe_open
from stylegan2_files import SIDE, WIDTH, rosinality_state, write_nvidia, write_rosinality

from faceinv.cli import main

WRITERS = {"nvidia": write_nvidia, "rosinality": write_rosinality}

Command = Callable[..., tuple[int, str, str]]


def trusting(file: Path) -> tuple[str, str]:
    """Return the option that trusts a file which is not the published one."""
    return "--trust-sha256", hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run the command line in this process; return exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        shown = capfd.readouterr()
        return int(stopped.value.code or 0), shown.out, shown.err

    return run


@pytest.mark.parametrize("layout", WRITERS)
def test_convert_keeps_the_hash_of_its_source(command: Command, tmp_path: Path, layout: str) -> None:
    source, out = WRITERS[layout](tmp_path / "published.bin"), tmp_path / "f.safetensors"
    code, _, said = command("weights", "convert", source, "--out", out)
    assert code == 0
    assert "stylegan2" in said
    with safe_open(out, "pt") as file:
        assert file.metadata()["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    w = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(build(out)(w, "w"), build(source)(w, "w"), atol=1e-6, rtol=0)


def test_convert_takes_plain_state_dicts_too(command: Command, tmp_path: Path) -> None:
    torch.save({"state_dict": {"module.a": torch.ones(2)}}, tmp_path / "x.pth")
    code, _, said = command("weights", "convert", tmp_path / "x.pth", "--out", tmp_path / "x.safetensors")
    assert code == 0
    assert "an unknown network" in said
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert list(file.keys()) == ["a"]


def test_convert_refuses_in_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.pkl").write_bytes(b"\x80\x02cos\nsystem\nX\x06\x00\x00\x00exit 7\x85R.")
    for source, out, expected in (
        (tmp_path / "bad.pkl", tmp_path / "out", 4),
        (tmp_path / "none.pkl", tmp_path / "out", 4),
        (write_nvidia(tmp_path / "good.pkl"), tmp_path / "good.pkl" / "out", 6),
        (tmp_path / "good.pkl", tmp_path / "good.pkl", 2),
    ):
        code, _, said = command("weights", "convert", source, "--out", out)
        assert code == expected
        assert len(said.splitlines()) == 1
        assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "good.pkl").read_bytes()[:1] == b"\x80"


@pytest.mark.parametrize("layout", WRITERS)
def test_synthesize(command: Command, tmp_path: Path, layout: str) -> None:
    source = WRITERS[layout](tmp_path / "published.bin")
    generator = build(source, truncation=0.5, noise="none")
    rng = torch.Generator().manual_seed(1)
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    for space in ("z", "w", "w+"):
        latents = generator.sample(2, space, rng)
        np.save(tmp_path / "latents.npy", latents.numpy())
        arguments = ["synthesize", "--generator", "stylegan2.ffhq-256", "--weights", source, "--space", space]
        arguments += ["--latents", tmp_path / "latents.npy", "--out", tmp_path / "images.npy"]
        arguments += ["--truncation", 0.5, "--noise", "none"]
        if space == "z":
            # No hash is published for this file, so it must be trusted first.
            code, _, said = command(*arguments)
            assert code == 4
            assert f"--trust-sha256 {sha256}" in said
        code, _, said = command("--trust-sha256", sha256, *arguments)
        assert code == 0, said
        images = np.load(tmp_path / "images.npy")
        assert images.shape == (2, 3, SIDE, SIDE)
        assert images.dtype == np.float32
        np.testing.assert_allclose(images, generator(latents, space).numpy(), atol=1e-5)


def test_the_published_file_is_pinned_where_a_hash_is_known(command: Command, tmp_path: Path) -> None:
    source, out = write_nvidia(tmp_path / "x.pkl"), tmp_path / "pictures"
    arguments = ["synthesize", "--generator", "stylegan2", "--weights", source, "--seeds", "0", "--out", out]
    code, _, said = command(*arguments)
    assert code == 4
    assert "is NOT the published file of stylegan2.ffhq-1024/pkl" in said
    assert command(*trusting(source), *arguments)[0] == 0
    assert (tmp_path / "pictures" / "00000.png").is_file()


def test_a_truncation_draws_every_space_towards_the_centre(tmp_path: Path) -> None:
    source = write_nvidia(tmp_path / "x")
    plain = build(source)
    half, coarse = build(source, truncation=0.5), build(source, truncation=0.5, truncation_cutoff=2)
    w = plain.sample(3, "w", torch.Generator().manual_seed(0))
    drawn = plain.w_centre + 0.5 * (w - plain.w_centre)
    rows = plain.architecture.rows
    torch.testing.assert_close(half(w, "w"), plain(drawn, "w"))
    torch.testing.assert_close(half(w[:, None].repeat(1, rows, 1), "w+"), plain(drawn, "w"))
    mixed = torch.stack([drawn] * 2 + [w] * (rows - 2), dim=1)
    torch.testing.assert_close(coarse(w, "w"), plain(mixed, "w+"))
    assert torch.equal(half.sample(3, "w", torch.Generator().manual_seed(0)), w)


def test_a_file_is_read_once_and_its_statistics_estimated_once(cache: Path, tmp_path: Path) -> None:
    source = write_nvidia(tmp_path / "x.pkl")
    build(source)
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    kept = {path: path.stat().st_mtime_ns for path in (cache / "stylegan2").glob("*.safetensors")}
    assert len(kept) == 2
    assert any(sha256 in path.name for path in kept)
    again = build(source)
    assert kept == {path: path.stat().st_mtime_ns for path in (cache / "stylegan2").glob("*.safetensors")}
    # The cache contains the mean of mapped z.
    w = again.mapping(torch.randn(20_000, WIDTH, generator=torch.Generator().manual_seed(5)))
    scale = w.std(0).mean()
    assert (w.mean(0) - again.w_mean).abs().max() < 0.05 * scale


@pytest.mark.parametrize("layout", WRITERS)
def test_an_encoder_says_that_it_was_given_a_generator(command: Command, tmp_path: Path, layout: str) -> None:
    source = WRITERS[layout](tmp_path / "x")
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    np.save(tmp_path / "x.npy", np.zeros(3))
    code, _, said = command(
        "--trust-sha256", sha256, "embed", "--encoder", "vggface2.resnet50-ft", "--weights", source, "--aligned",
        "x.png", "--out", tmp_path / "d.npy",
    )  # fmt: skip
    assert code == 4
    assert f"{source} is a file of stylegan2.ffhq" in said


def test_a_generator_says_that_it_was_given_an_encoder(command: Command, tmp_path: Path) -> None:
    state = {
        "conv1_7x7_s2.weight": torch.zeros(64, 3, 7, 7),
        "conv5_3_1x1_increase.weight": torch.zeros(2048, 512, 1, 1),
    }
    torch.save(state, tmp_path / "x.pth")
    arguments = ["synthesize", "--generator", "stylegan2", "--seeds", "0", "--out", tmp_path / "x.npy", "--weights"]
    code, _, said = command(*trusting(tmp_path / "x.pth"), *arguments, tmp_path / "x.pth")
    assert code == 4
    assert "is a file of vggface2.resnet50-ft or vggface2.resnet50-scratch" in said


def test_missing_unexpected_and_wrongly_shaped_tensors_are_named(command: Command, tmp_path: Path) -> None:
    arguments = ["synthesize", "--generator", "stylegan2", "--seeds", "0", "--out", tmp_path / "x.npy", "--weights"]
    state = rosinality_state()
    for change, expected in (
        ({name: None for name in state if name.startswith(("convs.2.", "to_rgbs.1."))}, "lacks tensors: .* and 4 more"),
        ({f"more.{i}": torch.zeros(1) for i in range(7)}, "unexpected tensors: more.0, .*more.4 and 2 more"),
        ({"convs.1.conv.weight": torch.zeros(1, 16, 15, 3, 3)}, r"wrongly shaped tensors: synthesis.8.conv1.weight"),
    ):
        altered = {name: tensor for name, tensor in (state | change).items() if tensor is not None}
        torch.save({"g_ema": altered}, tmp_path / "x.pt")
        code, _, said = command(*trusting(tmp_path / "x.pt"), *arguments, tmp_path / "x.pt")
        assert code == 4
        assert len(said.splitlines()) <= 2
        assert re.search(expected, said), said


def test_licences_are_shown(command: Command) -> None:
    _, shown, _ = command("plugins", "show", "stylegan2", "--json")
    [details] = json.loads(shown)
    assert "Nvidia Source Code License" in details["weights_licence"]
    assert "Nvidia Source Code License" in details["weights"][0]["licence"]


def test_checkpointing_changes_no_gradient(tmp_path: Path) -> None:
    source = write_nvidia(tmp_path / "x")
    rows = build(source).sample(2, "w+", torch.Generator().manual_seed(0))
    gradients = []
    for checkpointed in (False, True):
        generator, leaf = build(source, checkpoint_activations=checkpointed), rows.clone().requires_grad_()
        gradients.append(torch.autograd.grad(generator(leaf, "w+").square().sum(), leaf)[0])
    # One image at a time, a convolution may sum in another order.
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
