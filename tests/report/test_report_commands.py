"""What bench and invert leave behind: a page, named last, of the very run."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import numpy as np
import pytest

CHAIN = (
    "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--steps", "4", "--pairs", "200",
    "--metric", "mse", "--metric", "psnr", "--metric", "id_sim_attacked", "--metric", "id_sim_critic",
    "--losses", "id,hist",
)  # fmt: skip


def test_bench_ends_with_its_page(run, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    out = tmp_path / "run"
    result = run("bench", *CHAIN, "--dataset", "toy-targets", "--limit", "5", "--ablate", "--out", out, "--open")
    assert result.code == 0, result.err
    assert result.err.strip().splitlines()[-1] == f"report: {out / 'report.html'}"
    assert opened == [(out / "report.html").as_uri()]
    page = (out / "report.html").read_text()
    assert "What toy.attacked gives away" in page
    assert "5 samples of the generator" in page
    for path in (out / "cells").glob("*.json"):
        record = json.loads(path.read_text())
        assert f'value="{record["metrics"]["psnr"]["mean"]!r}"' in page
    # The colours that the attack read from the descriptors are there to be drawn.
    assert '"probe":"histogram","kind":"histogram"' in page
    assert page.count('"read":[[') == 1


def test_a_page_is_made_of_what_failed_too(run, cache: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "breaking_method.py"
    plugin.write_text(
        "from faceinv import hookimpl\nfrom faceinv.contracts.specs import MethodSpec\n"
        "@hookimpl\ndef faceinv_methods():\n"
        "    return [MethodSpec(name='failing', summary='s', target='breaking_method:Failing', licence='MIT')]\n"
        "class Failing:\n"
        "    def __call__(self, task): raise ArithmeticError('it broke')\n"
    )
    out = tmp_path / "run"
    arguments = ("--dataset", "toy-targets", "--limit", "2", "--method", "failing", "--out", out)
    result = run("--plugin", plugin, "bench", *CHAIN, *arguments)
    assert result.code == 5, result.err
    page = (out / "report.html").read_text()
    assert "A run without results" in page
    assert "ArithmeticError: it broke" in page


def test_invert_ends_with_its_page(run, cache: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "leaked.npy", np.random.default_rng(0).standard_normal((2, 12)).astype(np.float32))
    out = tmp_path / "out"
    result = run("invert", tmp_path / "leaked.npy", *CHAIN, "--out", out)
    assert result.code == 0, result.err
    assert result.err.strip().splitlines()[-1] == f"report: {out / 'report.html'}"
    page = (out / "report.html").read_text()
    assert "Faces were rebuilt from 2 descriptors." in page
    assert page.count("data:image/png") >= 4
    # A second call is another run: its page shows nothing of the first.
    np.save(tmp_path / "other.npy", np.random.default_rng(1).standard_normal((1, 12)).astype(np.float32))
    assert run("invert", tmp_path / "other.npy", *CHAIN, "--out", out).code == 0
    page = (out / "report.html").read_text()
    assert "Faces were rebuilt from 1 descriptor." in page
    assert "leaked-0" not in page


def test_help_names_the_commands_without_importing_them(run) -> None:
    result = run("--help")
    for name in ("report", "compare", "export"):
        assert name in result.out
