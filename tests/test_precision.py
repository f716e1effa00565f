"""Steps in another precision, and compiled ones; that of many images without a gradient is in test_bank."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from faceinv.hardware import has_bf16_units
from faceinv.models.precision import bulk_encoder, step_networks
from faceinv.testing.toy_networks import ToyEncoder, ToyGenerator

TOY = [
    "bench", "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
    "--limit", "24", "--pairs", "200", "--steps", "8", "--losses", "id", "--metric", "mse",
    "--metric", "id_sim_attacked", "--metric", "id_sim_critic", "--json",
]  # fmt: skip


def test_scores_in_bf16_are_within_the_intervals_of_fp32(run, cache: Path, tmp_path: Path) -> None:
    result = run(*TOY, "--precision", "fp32,bf16", "--out", tmp_path)
    assert result.code == 0, result.err
    exact, lowered = result.json
    assert [any("bf16" in text for text in row["warnings"]) for row in (exact, lowered)] == [False, True]
    assert exact["id"] != lowered["id"]
    for name, score in exact["metrics"].items():
        assert score["low"] <= lowered["metrics"][name]["mean"] <= score["high"], name
        assert lowered["metrics"][name]["mean"] != score["mean"], "nothing was computed in bf16"
    records = [json.loads(path.read_text()) for path in (tmp_path / "cells").glob("*.json")]
    assert {record["id"]: record["config"]["precision"] for record in records} == {
        exact["id"]: "fp32",
        lowered["id"]: "bf16",
    }


def made(said: list[str], precision: str = "fp32", compiled: bool = False) -> tuple[object, object]:
    generator, encoder = ToyGenerator().requires_grad_(False), ToyEncoder().requires_grad_(False)
    example = generator.sample(2, "z", torch.Generator().manual_seed(0))
    found = step_networks(
        generator, encoder, precision=precision, compiled=compiled, example=example, space="z", say=said.append
    )
    torch.testing.assert_close(found[1](found[0](example, "z")), encoder(generator(example, "z")), atol=0.05, rtol=0.05)
    assert found[0].latent_shape("z") == generator.latent_shape("z")
    return found


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n", True),
        ("processor\t: 0\nbugs\t\t: amx_bf16\nflags\t\t: fpu avx2 avx512f\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", True),
        ("", False),
    ],
)
def test_what_the_processor_is_known_to_have(tmp_path: Path, content: str, expected: bool) -> None:
    (tmp_path / "cpuinfo").write_text(content)
    assert has_bf16_units(tmp_path / "cpuinfo") is expected


def test_a_processor_without_bf16_is_said_to_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    for units, expected in ((False, 1), (True, 0)):
        monkeypatch.setattr("faceinv.models.precision.has_bf16_units", lambda units=units: units)
        said: list[str] = []
        made(said, precision="bf16")
        assert len(said) == expected


def test_what_cannot_be_compiled_stays_as_it_is_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(function: object) -> object:
        def call(*given: object) -> object:
            raise RuntimeError("no C++ compiler was found\nmore of it")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    said: list[str] = []
    made(said, compiled=True)
    assert said == ["torch.compile failed, continuing without it: no C++ compiler was found"]


def test_an_encoder_that_cannot_be_compiled_embeds_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function: lambda *given: 1 / 0)
    said: list[str] = []
    encoder, crops = ToyEncoder().requires_grad_(False), torch.rand(2, 3, 16, 16)
    embed = bulk_encoder(encoder, precision="fp32", compiled=True, example=crops, say=said.append)
    assert said == ["torch.compile failed, continuing without it: division by zero"]
    assert torch.equal(embed(crops), encoder(crops))


def test_compiled_steps_are_those_of_torch_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the backend that traces alone: what a compiler makes of it is PyTorch's own business."""
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: compiled(function, backend="aot_eager"))
    said: list[str] = []
    made(said, compiled=True)
    assert not said
