"""An encoder without gradients: methods that need them are refused by name, all others work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import faceinv
from faceinv.contracts import Framing
from faceinv.errors import UsageError
from faceinv.testing import draw_faces, toy

REMOTE = Path(__file__).with_name("remote_encoder.py")
GRID = [
    "bench", "--encoder", "remote", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
    "--limit", "3", "--steps", "20", "--pairs", "200", "--losses", "id,brightness", "--metric", "mse",
    "--metric", "id_sim_attacked",
]  # fmt: skip


@pytest.mark.parametrize("method", ["latent-adam", "mapping"])
def test_a_method_that_needs_gradients_is_refused_before_anything_runs(
    run: Callable[..., Any], cache: Path, tmp_path: Path, method: str
) -> None:
    out = tmp_path / "run"
    for more in (["--dry-run"], []):
        result = run("--plugin", REMOTE, *GRID, "--method", f"zeroth,{method}", "--out", out, *more)
        assert result.code == 2
        assert f"method: '{method}' needs gradients of the encoder 'remote', which is a black box" in result.err
        allowed = result.err.partition("Methods that need none: ")[2].strip(" .\n").split(", ")
        assert {"cma", "regression", "zeroth"} <= set(allowed)
        assert not {"latent-adam", "mapping", "pixel"} & set(allowed)
    assert not out.exists()


@pytest.mark.parametrize("more", [[], ["--precision", "bf16"]])
def test_methods_with_access_to_scores_work_to_the_end(
    run: Callable[..., Any], cache: Path, tmp_path: Path, more: list[str]
) -> None:
    args = ("--method", "cma,regression,zeroth", "--batch-size", "auto", "--json", "--out", tmp_path / "run", *more)
    result = run("--plugin", REMOTE, *GRID, *args)
    assert result.code == 0, result.err
    assert [row["method"] for row in result.json] == ["cma", "regression", "zeroth"]
    assert all(row["image_steps"] == 0 for row in result.json)


def test_the_python_api_refuses_it_too(cache: Path) -> None:
    options: dict[str, Any] = {
        "encoder": "remote", "losses": ["id"], "generator": "toy-faces", "pairs": 200, "steps": 2,
        "plugins": [toy.__file__, REMOTE],
    }  # fmt: skip
    encoder = faceinv.load_encoder("remote", plugins=options["plugins"])
    assert isinstance(encoder.spec.framing, Framing)
    descriptors = encoder(draw_faces(1, encoder.spec.framing))
    with pytest.raises(UsageError, match="'latent-adam' needs gradients of the encoder 'remote'"):
        faceinv.invert(descriptors, method="latent-adam", **options)
    assert faceinv.invert(descriptors, method="zeroth", **options).images.shape == (1, 3, 16, 16)
