"""``faceinv probe --leak`` and ``--knowledge``: readers of a part of a descriptor, and readers without the encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from faceinv.contracts import Framing
from faceinv.data import write_image
from faceinv.testing.faces import FRAME, draw_faces


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    for index, face in enumerate(draw_faces(200, Framing("large", (48, 48), FRAME.points))):
        write_image(face, folder / f"{index:03d}.png")
    return folder


def command(faces: Path, out: Path, *more: object) -> tuple[object, ...]:
    own = ("probe", "--encoder", "toy", "--dataset", f"folder:{faces}", "--attributes", "brightness", "--no-image")
    return *own, "--recipe", "linear", "--out", out, *more


def scores(result: Any) -> dict[str, float]:
    assert result.code == 0, result.err
    rows = [row for row in result.json if row["source"] == "descriptor"]
    return {row["encoder"]: row["metrics"]["r2"]["mean"] for row in rows}


def test_less_is_read_of_a_part_and_the_report_of_a_bench_shows_it(
    run: Any, cache: Path, tmp_path: Path, faces: Path
) -> None:
    out, leaks = tmp_path / "run", "descriptor,dims:2,scores:12,bits:8"
    found = scores(run(*command(faces, out, "--leak", leaks, "--json")))
    whole = found.pop("toy.attacked")
    assert found.keys() == {"toy.attacked, dims:2:first", "toy.attacked, scores:12", "toy.attacked, bits:8"}
    assert found["toy.attacked, dims:2:first"] < whole - 0.05
    # As many scores as numbers, or finely rounded ones, tell everything that the direction does.
    direction = scores(run(*command(faces, out, "--leak", "dims:12", "--json")))["toy.attacked, dims:12:first"]
    assert found["toy.attacked, scores:12"] == pytest.approx(direction, abs=0.02)
    assert found["toy.attacked, bits:8"] == pytest.approx(direction, abs=0.02)
    configs = [json.loads(file.read_text())["config"] for file in (out / "probes").glob("*.json")]
    assert sorted(config.get("leak", "") for config in configs) == [
        "", "bits:8", "dims:12:first", "dims:2:first", "scores:12",
    ]  # fmt: skip
    chain = ("--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets")
    small = ("--losses", "id", "--limit", "4", "--steps", "2", "--pairs", "200", "--metric", "success")
    bench = run("bench", *chain, *small, "--leak", "descriptor,scores:12", "--out", out)
    assert bench.code == 0, bench.err
    table = run("export", out, "--table", "leaks", "--format", "csv", "--out", tmp_path / "leaks.csv")
    assert table.code == 0, table.err
    assert "brightness read" in (tmp_path / "leaks.csv").read_text()


def test_readers_without_the_encoder_learn_from_pairs(run: Any, cache: Path, tmp_path: Path, faces: Path) -> None:
    out = tmp_path / "run"
    known = ("--knowledge", "encoder,pairs:30,pairs:150", "--json")
    found = scores(run(*command(faces, out, *known)))
    assert found["toy.attacked, pairs:30"] < found["toy.attacked, pairs:150"] <= found["toy.attacked"] + 0.05
    mapped = run(*command(faces, out, *known, "--surrogate", "toy.critic"))
    assert "cosine" in mapped.err
    by = scores(mapped)
    assert by["toy.attacked"] == found["toy.attacked"]
    assert 0.8 < by["toy.attacked, pairs:30 to toy.critic"] < by["toy.attacked"]


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--leak", "decisions:100"), 2, "No reader can be trained on 'decisions:100'. Allowed: descriptor"),
        (("--leak", "dims:13"), 2, "between 1 and 12"),
        (("--leak", "scores:3000"), 3, "photographs to show"),
        (("--knowledge", "pairs:12"), 2, "Allowed: pairs:22 or more"),
        (("--knowledge", "pairs:4000"), 3, "usable photographs of people"),
        (("--knowledge", "pairs:30", "--surrogate", "toy"), 2, "which the attacker cannot run"),
        (("--surrogate", "toy.critic"), 2, "add --knowledge pairs:N"),
        (("--leak", "bits:1", "--protect", "biohash:bits=8"), 2, "cannot be combined"),
    ],
)
def test_mistakes(
    run: Any, cache: Path, tmp_path: Path, faces: Path, options: tuple[str, ...], code: int, told: str
) -> None:
    result = run(*command(faces, tmp_path / "run", *options))
    assert (result.code, told in result.err) == (code, True), result.err
