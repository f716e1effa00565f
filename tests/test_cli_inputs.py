"""embed, synthesize, invert, train: inputs, outputs, and one line per mistake."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from faceinv.data import read_image, write_image
from faceinv.testing.toy_networks import ToyEncoder, ToyGenerator

CHAIN = [
    "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--losses", "id,brightness",
    "--steps", "3", "--pairs", "200", "--metric", "mse", "--metric", "id_sim_critic",
]  # fmt: skip


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000), }"


def npy(header: str) -> bytes:
    """Return a .npy file with this header and no data."""
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode()


def one_line(result: object, code: int, *words: str) -> None:
    assert result.code == code, result.err  # type: ignore[attr-defined]
    errors = [line for line in result.err.splitlines() if line.startswith("Error")]  # type: ignore[attr-defined]
    assert len(errors) == 1
    for word in words:
        assert word in errors[0]
    assert "Traceback" not in result.err  # type: ignore[attr-defined]


@pytest.fixture
def crops(tmp_path: Path) -> list[Path]:
    rng = torch.Generator().manual_seed(0)
    paths = [tmp_path / f"crop-{index}.png" for index in range(3)]
    for path in paths:
        write_image(torch.rand(3, 16, 16, generator=rng), path)
    return paths


@pytest.fixture
def leaked(tmp_path: Path) -> Path:
    generator = ToyGenerator()
    with torch.no_grad():
        images = generator(generator.sample(2, "z", torch.Generator().manual_seed(5)), "z")
        np.save(tmp_path / "leaked.npy", ToyEncoder()(images).numpy())
    return tmp_path / "leaked.npy"


def test_embed_writes_the_networks_descriptors_in_order(run, crops: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "d.npy"
    assert run("embed", "--encoder", "toy", "--aligned", *crops, "--out", out).code == 0
    with torch.no_grad():
        expected = ToyEncoder()(torch.stack([read_image(path) for path in crops]))
    np.testing.assert_allclose(np.load(out), expected.numpy(), atol=1e-6)


def test_embed_refuses_a_wrong_crop_and_writes_nothing(run, crops: list[Path], tmp_path: Path) -> None:
    write_image(torch.rand(3, 20, 16, generator=torch.Generator().manual_seed(0)), crops[1])
    out = tmp_path / "d.npy"
    result = run("embed", "--encoder", "toy", "--aligned", *crops, "--out", out)
    one_line(result, 3, "crop-1.png", "16x16", "16x20", "Nothing was written")
    assert not out.exists()


@pytest.mark.parametrize(
    ("content", "word"), [(None, "no such file"), (b"", "empty"), (b"hello", "not an image"), ("cut", "decoded")]
)
def test_embed_reports_unusable_files(
    run, crops: list[Path], tmp_path: Path, content: bytes | str | None, word: str
) -> None:
    path = tmp_path / "bad.png"
    if content == "cut":
        path.write_bytes(crops[0].read_bytes()[:200])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    one_line(run("embed", "--encoder", "toy", "--aligned", path, "--out", tmp_path / "d.npy"), 3, "bad.png", word)


def test_synthesize_from_seeds_and_from_latents_agree(run, tmp_path: Path) -> None:
    assert run("synthesize", "--generator", "toy-faces", "--seeds", "3,5-6", "--out", tmp_path / "a.npy").code == 0
    streams = [torch.Generator().manual_seed(seed) for seed in (3, 5, 6)]
    latents = torch.cat([ToyGenerator().sample(1, "z", rng) for rng in streams])
    np.save(tmp_path / "z.npy", latents.numpy())
    args = ("synthesize", "--generator", "toy-faces", "--latents", tmp_path / "z.npy", "--space", "z")
    assert run(*args, "--out", tmp_path / "b.npy").code == 0
    images = np.load(tmp_path / "a.npy")
    assert images.shape == (3, 3, 16, 16)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, np.load(tmp_path / "b.npy"))
    assert run(*args, "--out", tmp_path / "pictures").code == 0
    written = read_image(tmp_path / "pictures" / "00002.png")
    np.testing.assert_allclose(written.numpy(), images[2], atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (["--seeds", "4-2"], 2, "not a seed or a range"),
        (["--seeds", "a"], 2, "not a seed or a range"),
        ([], 2, "either --latents"),
        (["--seeds", "1", "--space", "w+"], 2, "no latent space 'w+'. Available: z, w"),
        (["--seeds", "1", "--truncation", "0.5"], 2, "takes no option 'truncation'"),
        (["--latents", "none.npy"], 3, "no such file"),
    ],
)
def test_synthesize_refuses(run, tmp_path: Path, args: list[str], code: int, word: str) -> None:
    one_line(run("synthesize", "--generator", "toy-faces", *args, "--out", tmp_path / "x.npy"), code, word)


def test_invert_reconstructs_from_descriptors(run, cache: Path, leaked: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("invert", leaked, *CHAIN, "--json", "--out", out)
    assert result.code == 0, result.err
    assert [row["name"] for row in result.json] == ["leaked-0", "leaked-1"]
    assert read_image(out / "leaked-1.png").shape == (3, 16, 16)
    # Without a target only the attacked encoder can score.
    assert set(result.json[0]) == {"name", "file", "id_sim_attacked"}


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda path: np.save(path, np.ones((2, 5), np.float32)), "(B, 12), got (2, 5)"),
        (lambda path: np.save(path, np.full((1, 12), np.nan, np.float32)), "NaN"),
        (lambda path: np.save(path, np.zeros((1, 12), np.float32)), "all zeros"),
        (lambda path: np.save(path, np.zeros((0, 12), np.float32)), "float32 of shape (0, 12)"),
        (lambda path: path.write_bytes(b"nonsense"), "not a .npy file"),
        (lambda path: path.write_bytes(b"PK\3\4"), "not a .npy file"),
        (lambda path: path.write_bytes(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 12), }}}")), "not a"),
        (lambda path: path.write_bytes(npy("(" * 9000)), "not a .npy file"),
        (lambda path: path.write_bytes(npy("-" * 9000 + "1")), "not a .npy file"),
        (lambda path: path.write_bytes(npy(HUGE)), "cut off: its header claims float32 of shape (1000000000, 1000)"),
        (lambda path: np.save(path, np.array([{"a": 1}], dtype=object)), "must be numbers"),
        (os.mkfifo, "not a .npy file"),
        (lambda path: None, "no such file"),
    ],
)
def test_invert_refuses_files_without_descriptors(run, cache: Path, tmp_path: Path, make, word: str) -> None:
    path = tmp_path / "bad.npy"
    make(path)
    one_line(run("invert", path, *CHAIN, "--out", tmp_path / "out"), 3, "bad.npy", word)


def test_invert_brings_descriptors_to_the_encoders_lengths(run, cache: Path, leaked: Path, tmp_path: Path) -> None:
    raw, other = np.load(leaked), tmp_path / "other.npy"
    np.save(other, raw / np.linalg.norm(raw, axis=1, keepdims=True))
    result = run("invert", other, leaked, *CHAIN, "--out", tmp_path / "scaled")
    assert result.code == 0, result.err
    assert "2 of 4 descriptors (other-0, other-1) have lengths of 1, unlike those of" in result.err


@pytest.mark.parametrize(
    "option",
    [
        ("--recognition", "toy-targets"),
        ("--dataset", "toy-targets"),
        ("--limit", "3"),
        ("--per-person", "1"),
        ("--ablate",),
    ],
)
def test_invert_has_no_options_without_effect(run, leaked: Path, option: tuple[str, ...]) -> None:
    one_line(run("invert", leaked, *option), 2, "No such option", option[0])


def test_invert_refuses_a_grid(run, cache: Path, leaked: Path, tmp_path: Path) -> None:
    one_line(run("invert", leaked, *CHAIN, "--seed", "1", "--seed", "2", "--out", tmp_path), 2, "grid of 2")


def test_train_scores_the_probes(run, cache: Path) -> None:
    (row,) = run("train", *CHAIN, "--pairs", "3000", "--json").json
    assert (row["probe"], row["unit"], row["n"]) == ("brightness", "grey levels", 300)
    assert row["descriptor"] < 0.8 * row["baseline"]
    written = {path: path.stat().st_mtime_ns for path in (cache / "trained").glob("*.safetensors")}
    assert len(written) == 9  # pairs, labels, whitening, statistics, regressor, expected image, and the probe with two
    result = run("train", *CHAIN, "--pairs", "3000")
    assert result.code == 0
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_plugins_lists_and_shows(run) -> None:
    listed = run("plugins", "--json").json
    assert {"encoder", "generator", "probe", "loss", "method", "metric", "dataset"} <= {
        s["kind"] for s in listed["specs"]
    }
    shown = run("plugins", "show", "arcface").out
    for word in ("MIT", "MobileFaceNet", "sha256", "d8ba40c0"):
        assert word in shown
    one_line(run("plugins", "show", "arcfase"), 2, "Did you mean 'arcface")


def test_unknown_commands_and_options_exit_with_2(run) -> None:
    assert "Did you mean 'bench'" in run("bensh").err
    assert run("bensh").code == 2
    assert run("bench", "--stepz", "3").code == 2
    assert json.loads(run("config", "--json").out)["config"]["steps"] == [80]


def test_invert_warns_if_the_attacked_encoder_is_a_critic(run, leaked: Path, cache: Path, tmp_path: Path) -> None:
    critics = [arg if arg != "toy.critic" else "toy.critic,toy" for arg in CHAIN]
    result = run("invert", leaked, *critics, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    assert "overfitting, not identity" in result.err


@pytest.mark.parametrize("device", ["banana", "mps", "meta", "xpu", "cuda:99", "cpu:9999999999999999", "vulkan"])
def test_a_device_that_cannot_be_used_is_one_line(run, tmp_path: Path, device: str) -> None:
    result = run("synthesize", "--generator", "toy-faces", "--seeds", "0", "--device", device, "--out", tmp_path / "x")
    one_line(result, 2, f"evice '{device}'")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("epoch=3-step=100.pth", {"toy": "epoch=3-step=100.pth"}),
        ("toy.critic=epoch=3-step=100.pth", {"toy.critic": "epoch=3-step=100.pth"}),
        ("toy.critic=/data/run=7/backbone.pth", {"toy.critic": "/data/run=7/backbone.pth"}),
        ("/data/run=7/backbone.pth", {"toy": "/data/run=7/backbone.pth"}),
        ("backbone.pth", {"toy": "backbone.pth"}),
    ],
)
def test_a_checkpoint_may_have_an_equals_sign_in_its_name(run, given: str, expected: dict[str, str]) -> None:
    assert run("config", "--json", "--encoder", "toy", "--weights", given).json["config"]["weights"] == expected


def test_a_file_without_a_name_belongs_to_the_encoder_of_the_config(run, tmp_path: Path) -> None:
    config = tmp_path / "bench.yaml"
    config.write_text("encoder: toy.critic\n")
    assert run("config", "--json", config, "--weights", "x.pth").json["config"]["weights"] == {"toy.critic": "x.pth"}


def test_a_misspelt_network_is_not_taken_for_a_file(run, leaked: Path) -> None:
    one_line(run("config", "--encoder", "toy", "--weights", f"toy.critik={leaked}"), 2, "Did you mean 'toy.critic'")


def test_a_config_for_bench_may_name_data_that_is_not_here(run, cache: Path, leaked: Path, tmp_path: Path) -> None:
    config = tmp_path / "bench.yaml"
    config.write_text("dataset: ['folder:/a', 'folder:/b']\nlabels: none.csv\nrecognition: 'lfw:/c'\n")
    result = run("invert", leaked, *CHAIN, "--config", config, "--json", "--out", tmp_path / "out")
    assert result.code == 0, result.err
    assert len(result.json) == 2
