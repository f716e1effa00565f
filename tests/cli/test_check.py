"""``faceinv plugins check``: its output for good and for broken plugins, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

BROKEN = """
from faceinv import hookimpl
from faceinv.contracts import EncoderSpec, Framing

@hookimpl
def faceinv_encoders():
    framing = Framing("toy", (16, 16), ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.4, 0.8), (0.6, 0.8)))
    return [EncoderSpec(name="grey", summary="s", target="NETWORK:Grey", licence=" ", dim=4, framing=framing)]
"""

NETWORK = """
from torch import nn

class Grey(nn.Module):
    def forward(self, images):
        return images.mean((1, 2, 3))[:, None].expand(-1, 4)
"""


@pytest.fixture
def grey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Modules stay imported, so every test needs its own module names.
    path = tmp_path / f"grey_{abs(hash(tmp_path))}.py"
    path.write_text(BROKEN.replace("NETWORK", f"network_of_{path.stem}"))
    (tmp_path / f"network_of_{path.stem}.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    return path


def test_a_good_plugin(run) -> None:
    result = run("plugins", "check", "toy")
    assert result.code == 0, result.err
    assert "encoder 'toy.attacked'" in result.out
    assert "✓ size_and_dimension" in result.out
    assert "0 failed" in result.out


def test_a_broken_plugin_is_told_what_and_how(run, grey: Path) -> None:
    result = run("--plugin", grey, "plugins", "check", grey.stem)
    assert result.code == 5
    assert "✗ red_and_blue_differ" in result.out
    assert "Swapping red and blue changes the descriptor" in result.out
    assert "To fix it: Call faceinv.contracts.check_images(images, size) first in forward()." in result.out
    assert "✗ declaration" in result.out
    assert "red_and_blue_differ" in result.err
    assert "Traceback" not in result.out + result.err


def test_for_machines(run, grey: Path) -> None:
    result = run("--plugin", grey, "plugins", "check", "grey", "--json")
    rows = json.loads(result.out)
    assert result.code == 5
    assert {"kind", "name", "check", "status", "message", "meaning", "fix", "seconds"} == set(rows[0])
    failed = {row["check"] for row in rows if row["status"] == "failed"}
    assert {"red_and_blue_differ", "wrong_images_are_refused", "declaration"} <= failed
    assert "size_and_dimension" not in failed


def test_one_object_of_a_plugin(run) -> None:
    rows = run("plugins", "check", "brightness", "--json").json
    assert {(row["kind"], row["name"]) for row in rows} == {
        ("plugin", "toy"), ("probe", "brightness"), ("loss", "brightness"),
    }  # fmt: skip
    assert {row["status"] for row in rows} <= {"passed", "not applicable"}


def test_weights_that_are_not_here(run, cache: Path) -> None:
    named = run("--offline", "plugins", "check", "arcface.r50-ms1mv3")
    assert named.code == 4
    assert "not run: Weights 'arcface.r50-ms1mv3/pth'" in named.out
    plugin = run("--offline", "plugins", "check", "arcface", "--json")
    rows = plugin.json
    statuses = {row["status"] for row in rows if row["name"] == "arcface.r50-ms1mv3"}
    assert statuses == {"not run"}
    assert any("faceinv plugins check arcface.r50-ms1mv3" in row["message"] for row in rows)


def test_an_object_is_checked_with_the_plugin_that_declares_it(run) -> None:
    rows = run("plugins", "check", "hist", "--json").json
    assert {(row["kind"], row["name"]) for row in rows} == {("plugin", "histogram"), ("loss", "hist")}


def test_a_data_set_at_a_path(run, tmp_path: Path) -> None:
    result = run("plugins", "check", f"folder:{tmp_path}")
    assert result.code == 5
    assert "holds no image" in result.out


def test_a_path_is_for_data_sets_alone(run) -> None:
    result = run("plugins", "check", "toy:somewhere")
    assert result.code == 2
    assert "takes no path" in result.err


def test_an_unknown_name(run) -> None:
    result = run("plugins", "check", "arcfase")
    assert result.code == 2
    assert "Did you mean 'arcface" in result.err


def test_a_plugin_that_cannot_be_imported(run, tmp_path: Path) -> None:
    path = tmp_path / "half_plugin.py"
    path.write_text("import no_such_module_at_all\n")
    result = run("--plugin", path, "plugins", "check", "half_plugin")
    assert result.code == 5
    assert "No module named 'no_such_module_at_all'" in result.err
