"""``faceinv suite``: the steps of a file in order, left out where a variable has no value, and not computed twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import official
import pytest

SUITES = Path(__file__).parents[2] / "benchmarks" / "suites"
make_celeba = official.module_of("celeba", "test_celeba").make
make_lfw = official.module_of("lfw", "test_lfw").make
TEXT = """
variables:
  people:
  out: {out}
steps:
  attack: >-
    bench --encoder toy.attacked --generator toy-faces --critic toy.critic --losses id --pairs 100 --steps 2
    --limit 2 --metric psnr --metric id_sim_critic --out '{{out}}/a run'
  others: >-
    bench --encoder toy.attacked --generator toy-faces --critic toy.critic --losses id --pairs 100 --steps 2
    --dataset folder:{{people}} --out {{out}}/others
  table: export '{{out}}/a run' {{out}}/others --format csv --out {{out}}/table.csv
  others-table: export {{out}}/others --format csv --out {{out}}/others.csv
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "suite.yaml"
    path.write_text(TEXT.format(out=tmp_path))
    return path


def test_steps_run_in_order_and_compute_nothing_twice(run: Any, cache: Path, suite: Path, tmp_path: Path) -> None:
    planned = run("suite", suite, "--dry-run")
    assert planned.code == 0, planned.err
    assert "1 cells, 0 computed" in planned.out
    assert not (tmp_path / "a run").exists()
    result = run("suite", suite)
    assert result.code == 0, result.err
    lines = {line.split()[0]: line for line in result.out.splitlines() if line.strip()}
    assert "done" in lines["attack"]
    assert "left out: needs --set people=…" in lines["others"]
    assert "done" in lines["table"]
    assert "left out: needs others" in lines["others-table"]
    assert "psnr" in (tmp_path / "table.csv").read_text().casefold()
    (record,) = (tmp_path / "a run" / "cells").glob("*.json")
    written = record.stat().st_mtime_ns
    (tmp_path / "table.csv").unlink()
    # A step that fails does not stop the others.
    again = run("suite", suite, "--set", f"people={tmp_path / 'none'}")
    assert again.code == 3
    assert "failed (exit code 3)" in again.out
    # One that has only the failed step's run to read is left out, instead of failing, too.
    assert "left out: step others failed" in again.out
    assert "no data for any table" not in again.err
    assert record.stat().st_mtime_ns == written
    assert (tmp_path / "table.csv").exists()
    assert "1 cells, 1 computed" in run("suite", suite, "--step", "attack", "--dry-run").out


@pytest.mark.parametrize(
    ("name", "given", "benches"),
    [
        ("paper", ("celeba", "mofa", "lfw", "vggface2", "vggface", "stylegan2", "arcface"), 2),
        ("paper-default", ("lfw",), 1),
    ],
)
def test_the_papers_suites_name_what_there_is(
    run: Any, cache: Path, tmp_path: Path, name: str, given: tuple[str, ...], benches: int
) -> None:
    """Every step is planned with the real names and options; CelebA and LFW are tiny."""
    make_celeba(tmp_path / "celeba", official=True)
    make_lfw(tmp_path / "lfw", "lfw-deepfunneled")
    for file in given:
        if file not in ("celeba", "lfw"):
            (tmp_path / file).write_bytes(b"a file")
    settings = [part for key in given for part in ("--set", f"{key}={tmp_path / key}")]
    planned = run("suite", SUITES / f"{name}.yaml", "--dry-run", "--set", f"out={tmp_path / 'out'}", *settings)
    assert planned.code == 0, planned.err
    assert planned.out.count("3 cells, 0 computed") == benches
    assert planned.out.count("6 cells, 0 computed") == (2 if name == "paper-default" else 0)
    assert "left out" not in planned.out
    assert "photographs for each of 2 encoders" in planned.out
    without = run("suite", SUITES / f"{name}.yaml", "--dry-run", "--set", f"out={tmp_path / 'out'}")
    assert without.code == 0, without.err
    assert "left out: needs table-1" in without.out


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("steps: {a: bench}", ("--set", "out=x"), "Variables: none."),
        ("steps: {a: bench}", ("--step", "b"), "has no step 'b'"),
        ("steps: {a: rm -r x}", (), "the step 'a' begins with 'rm'; allowed are bench, compare"),
        ("steps: {a: suite x}", (), "begins with 'suite'"),
        ("steps: {a: 'bench \"x'}", (), "cannot be read: No closing quotation"),
        ("steps: {a: 'bench {b}'}", (), "unknown variable 'b'"),
        ("variables: {a: 1}", (), "has no steps"),
        ("variables: {here: 1}\nsteps: {a: bench}", (), "'here' is the folder of the file"),
        ("step: {a: bench}", (), "unknown key 'step'"),
        ("steps: [bench]", (), "'steps' must be a mapping"),
    ],
)
def test_what_is_no_suite_is_one_line(
    run: Any, tmp_path: Path, text: str, arguments: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    result = run("suite", path, *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert "Traceback" not in result.err


def test_a_step_that_is_given_a_file_of_another_is_left_out_with_it(run: Any, cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(
        "variables: {photographs: }\n"
        "steps:\n"
        "  network: train-landmarks measure --dataset folder:{photographs} --out m.safetensors\n"
        "  attack: bench --losses id,lm --weights landmarks=m.safetensors\n"
    )
    planned = run("suite", path, "--dry-run")
    assert planned.code == 0, planned.err
    assert "left out: needs network" in planned.out
    # Before the file is there, the attack is planned without it.
    planned = run("suite", path, "--dry-run", "--set", f"photographs={tmp_path}")
    assert planned.code == 0, planned.err
    assert "1 cells, 0 computed" in planned.out
