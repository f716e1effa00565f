"""The paper's networks together, from files in the official formats with arbitrary weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from stylegan2_files import rosinality_state
from torch import Tensor

from faceinv.cli import main


def normal(*shape: int) -> Tensor:
    fan = torch.Size(shape[1:]).numel()
    # Repeated numbers, because drawing a hundred million would dominate the test's time.
    numbers = torch.randn(99_991, generator=torch.Generator().manual_seed(len(shape) + fan))
    total = torch.Size(shape).numel()
    return (numbers.repeat(total // len(numbers) + 1)[:total] * (2 / fan) ** 0.5).reshape(shape)


def resnet50_dag() -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of ``resnet50_ft_dag.pth``."""

    def convolution(name: str, outputs: int, inputs: int, kernel: int) -> Iterator[tuple[str, Tensor]]:
        # Without biases descriptors scale with the first layer: this one keeps them to a length of about 5.
        scale = 2e-4 if inputs == 3 else 0.7
        yield f"{name}.weight", normal(outputs, inputs, kernel, kernel) * scale
        for field, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            yield f"{name}_bn.{field}", torch.full((outputs,), value)

    yield from convolution("conv1_7x7_s2", 64, 3, 7)
    width = 64
    for stage, (inner, blocks) in {2: (64, 3), 3: (128, 4), 4: (256, 6), 5: (512, 3)}.items():
        for block in range(1, blocks + 1):
            yield from convolution(f"conv{stage}_{block}_1x1_reduce", inner, width, 1)
            yield from convolution(f"conv{stage}_{block}_3x3", inner, inner, 3)
            yield from convolution(f"conv{stage}_{block}_1x1_increase", 4 * inner, inner, 1)
            if block == 1:
                yield from convolution(f"conv{stage}_{block}_1x1_proj", 4 * inner, width, 1)
            width = 4 * inner
    yield "classifier.weight", torch.zeros(8631, 2048, 1, 1)
    yield "classifier.bias", torch.zeros(8631)


def vgg16_dag() -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of ``vgg_face_dag.pth``, in half precision."""
    inputs = 3
    for stage, (width, steps) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], start=1):
        for step in range(1, steps + 1):
            yield f"conv{stage}_{step}.weight", normal(width, inputs, 3, 3).half()
            yield f"conv{stage}_{step}.bias", torch.zeros(width).half()
            inputs = width
    for name, inputs in (("fc6", 25088), ("fc7", 4096)):
        yield f"{name}.weight", normal(4096, inputs).half()
        yield f"{name}.bias", torch.zeros(4096).half()


@pytest.mark.timeout(900)  # 25 seconds of one core, more on a busy machine
def test_the_papers_pipeline_runs_through(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = {"vggface2.resnet50-ft": tmp_path / "resnet50_ft_dag.pth", "vggface.vgg16": tmp_path / "vgg_face_dag.pth"}
    files["stylegan2"] = tmp_path / "ffhq.pt"
    torch.save(dict(resnet50_dag()), files["vggface2.resnet50-ft"])
    torch.save(dict(vgg16_dag()), files["vggface.vgg16"])
    torch.save({"g_ema": rosinality_state({4: 16, 8: 16, 16: 16, 32: 16, 64: 8}, 32)}, files["stylegan2"])
    hashes = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    arguments = [part for sha256 in hashes.values() for part in ("--trust-sha256", sha256)]
    arguments += ["bench", "--encoder", "vggface2.resnet50-ft", "--critic", "vggface.vgg16", "--generator", "stylegan2"]
    arguments += [part for name, file in files.items() for part in ("--weights", f"{name}={file}")]
    arguments += ["--space", "w", "--losses", "id,lm,hist", "--objective", "paper", "--probes", "paper"]
    arguments += [
        "--dataset",
        "synthetic",
        "--limit",
        "2",
        "--steps",
        "2",
        "--pairs",
        "100",
        "--checkpoint-activations",
    ]
    arguments += [part for name in ("mse", "id_sim_attacked", "id_sim_critic") for part in ("--metric", name)]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--out", str(tmp_path / "run"), "--json"])
    shown = capfd.readouterr()
    assert stopped.value.code in (0, None), shown.err
    [row] = json.loads(shown.out)
    assert (row["encoder"], row["losses"], row["n"]) == ("vggface2.resnet50-ft", "id,lm,hist", 2)
    [path] = (tmp_path / "run" / "cells").glob("*.json")
    record = json.loads(path.read_text())
    assert record["status"] == "ok"
    # Every record contains the hash of every file it depends on.
    assert set(hashes.values()) <= set(record["weights"].values())
    assert record["config"]["space"] == "w"
    assert len(list(path.with_suffix("").glob("*-target.png"))) == 2
