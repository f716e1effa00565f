"""``faceinv bench`` on the toy chain: records, resumption, JSON output, mistakes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import ImageDraw

from faceinv.data import read_image
from faceinv.storage.run_folder import RunFolder
from faceinv.testing import toy

UNBOUND = [
    "bench", "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
    "--limit", "5", "--pairs", "200",
    "--metric", "mse", "--metric", "id_sim_attacked", "--metric", "id_sim_critic",
]  # fmt: skip
#: The same with a budget; a second --steps would add a second budget.
TOY = [*UNBOUND, "--steps", "4"]


def records(out: Path) -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text()) for path in (out / "cells").glob("*.json")}


def test_a_pixel_score_has_a_ceiling(run, cache: Path, tmp_path: Path) -> None:
    result = run(*TOY, "--losses", "id", "--metric", "psnr", "--json", "--out", tmp_path / "run")
    assert result.code == 0, result.err
    (cell,) = result.json
    assert {"psnr", "psnr_ceiling"} <= set(cell["metrics"])
    assert "mse_ceiling" not in cell["metrics"]
    # The toy encoder's descriptors are nearly linear in the pixels.
    assert cell["metrics"]["psnr_ceiling"]["mean"] > 15


def test_a_run_leaves_records_rows_and_pictures(run, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run(*TOY, "--losses", "id,brightness", "--ablate", "--json", "--out", out)
    assert result.code == 0, result.err
    first, second = result.json
    assert (first["losses"], second["losses"]) == ("id", "id,brightness")
    keys = {"encoder", "critic", "generator", "method", "losses", "dataset", "seed", "n", "metrics"}
    assert keys <= set(first)
    assert (first["encoder"], first["critic"], first["n"]) == ("toy.attacked", "toy.critic", 5)
    assert set(first["metrics"]["mse"]) >= {"mean", "low", "high", "unit", "higher_is_better"}
    assert {"id_sim_attacked_floor", "id_sim_critic_floor"} <= set(first["metrics"])
    for name, record in records(out).items():
        rows = pq.read_table(out / "cells" / f"{name}.parquet").to_pydict()
        assert rows["target"] == [f"toy-{index}" for index in range(5)]
        assert record["metrics"]["mse"]["mean"] == pytest.approx(np.mean(rows["mse"]), rel=1e-12)
        # Scores are computed from the files, so anyone can reproduce them.
        a = read_image(out / "cells" / name / "00002.png")
        b = read_image(out / "cells" / name / "00002-target.png")
        assert rows["mse"][2] == pytest.approx(float((a - b).square().mean()), rel=1e-4, abs=1e-7)
    assert (out / "contact.png").stat().st_size > 0


def test_attributes_read_from_the_descriptors_are_kept(run, cache: Path, tmp_path: Path) -> None:
    (row,) = run(*TOY, "--losses", "id,brightness", "--json", "--out", tmp_path).json
    folder = RunFolder(tmp_path)
    (name, read), *others = folder.read_attributes(row["id"]).items()
    assert (name, others, read.shape) == ("brightness", [], (5, 3))
    targets = [read_image(folder.images_folder(row["id"]) / f"{index:05d}-target.png") for index in range(5)]
    truth = np.stack([image.mean((1, 2)).numpy() for image in targets])
    # Reading the descriptors beats guessing the mean.
    assert np.abs(read - truth).mean() < np.abs(truth.mean(0) - truth).mean()


def test_the_attack_works_at_all(run, cache: Path, tmp_path: Path) -> None:
    args = (*UNBOUND, "--losses", "id", "--steps", "150", "--pairs", "2000", "--json", "--out", tmp_path)
    metrics = run(*args, "--method", "latent-adam").json[0]["metrics"]
    start = run(*args, "--method", "regression").json[0]["metrics"]
    assert metrics["id_sim_attacked"]["mean"] > 0.99
    assert metrics["id_sim_attacked"]["mean"] > start["id_sim_attacked"]["mean"]
    assert metrics["id_sim_critic"]["mean"] > metrics["id_sim_critic_floor"]["mean"] + 0.3
    assert metrics["mse"]["mean"] < 0.01


def test_nothing_is_computed_twice(run, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(*TOY, "--losses", "id", "--out", out).code == 0
    before = {path: path.stat().st_mtime_ns for path in out.glob("cells/**/*.*") if path.suffix != ".lock"}
    assert len(before) == 17  # record, rows, and three pictures of each of five targets
    result = run(*TOY, "--losses", "id", "--losses", "id,brightness", "--json", "--out", out)
    assert len(result.json) == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_samples_are_labelled_in_the_pass_that_embeds_them(
    run, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faceinv.cli.progress.PAUSE", 0)
    # The first cell of an ablation reads no probe, but its pass already labels samples for the later ones.
    result = run(*TOY, "--losses", "id,brightness", "--ablate", "--out", tmp_path)
    assert "embedding samples: 200/200" in result.err
    assert "labelling samples" not in result.err
    # A probe added later is labelled in a pass of its own.
    trained = cache / "trained"
    for path in trained.glob("* labels-*"):
        path.unlink()
    for path in trained.glob("brightness*"):
        path.unlink()
    assert "labelling samples: 200/200" in run(*TOY, "--losses", "brightness", "--out", tmp_path).err


def test_two_runs_give_the_same_numbers(run, cache: Path, tmp_path: Path) -> None:
    one = run(*TOY, "--losses", "id,brightness", "--json", "--out", tmp_path / "a").json
    two = run(*TOY, "--losses", "id,brightness", "--json", "--out", tmp_path / "b").json
    assert one == two


def test_a_result_does_not_depend_on_batch_mates(run, cache: Path, tmp_path: Path) -> None:
    names = ["a", "b"]
    for name, size in zip(names, ("5", "1"), strict=True):
        assert run(*TOY, "--losses", "id,brightness", "--batch-size", size, "--out", tmp_path / name).code == 0
    tables = [pq.read_table(next((tmp_path / name / "cells").glob("*.parquet"))).to_pydict() for name in names]
    for metric in ("mse", "id_sim_attacked", "id_sim_critic"):
        np.testing.assert_allclose(tables[0][metric], tables[1][metric], atol=2e-4)


def test_a_broken_record_is_computed_again(run, cache: Path, tmp_path: Path) -> None:
    first = run(*TOY, "--losses", "id", "--json", "--out", tmp_path).json
    (path,) = (tmp_path / "cells").glob("*.json")
    path.write_text(path.read_text()[:100])
    assert run(*TOY, "--losses", "id", "--json", "--out", tmp_path).json == first


def test_a_killed_run_continues(cache: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "faceinv", "--plugin", toy.__file__, *UNBOUND, "--losses", "id", "--json"]
    seeds = [word for seed in range(6) for word in ("--seed", str(seed))]
    environment = os.environ | {"FACEINV_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [*command, *seeds, "--steps", "400", "--out", str(killed)], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list(killed.glob("cells/*.json"))) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in killed.glob("cells/*.json")}
    assert 2 <= len(done) < 6
    results = []
    for out in (killed, tmp_path / "whole"):
        whole = [*command, *seeds, "--steps", "400", "--out", str(out)]
        results.append(json.loads(subprocess.run(whole, env=environment, capture_output=True, check=True).stdout))
    assert results[0] == results[1]
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_a_failed_cell_is_a_record_and_the_grid_goes_on(run, cache: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "failing_method.py"
    plugin.write_text(
        "from faceinv import hookimpl\nfrom faceinv.contracts.specs import MethodSpec\n"
        "@hookimpl\ndef faceinv_methods():\n"
        "    return [MethodSpec(name='failing', summary='s', target='failing_method:Failing', licence='MIT')]\n"
        "class Failing:\n"
        "    def __call__(self, task): raise ArithmeticError('it broke')\n"
    )
    out = tmp_path / "run"
    args = ("--plugin", plugin, *TOY, "--losses", "id", "--method", "failing", "--method", "latent-adam")
    result = run(*args, "--json", "--out", out)
    assert result.code == 1
    assert [row["method"] for row in result.json] == ["latent-adam"]
    assert "ArithmeticError: it broke" in result.err
    assert "Traceback" not in result.err
    failed = next(record for record in records(out).values() if record["status"] == "failed")
    assert "it broke" in failed["traceback"]


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_cell_whose_images_are_not_finite_has_failed(run, cache: Path, tmp_path: Path, number: str) -> None:
    plugin = tmp_path / f"diverging_{number}.py"
    plugin.write_text(
        "from faceinv import hookimpl\nfrom faceinv.contracts.specs import MethodSpec\n"
        "from faceinv_id2image.methods import Regression\n"
        "@hookimpl\ndef faceinv_methods():\n"
        f"    return [MethodSpec(name='diverging', summary='s', target='{plugin.stem}:Diverging', licence='MIT')]\n"
        "class Diverging(Regression):\n"
        "    def __call__(self, task):\n"
        "        result = super().__call__(task)\n"
        f"        result.images[1] = float('{number}')\n"
        "        return result\n"
    )
    result = run("--plugin", plugin, *TOY, "--losses", "id", "--method", "diverging", "--json", "--out", tmp_path / "r")
    assert (result.code, result.json) == (1, [])
    assert "The method 'diverging' returned NaN or infinity for 1 of 5 targets" in result.err
    assert [record["status"] for record in records(tmp_path / "r").values()] == ["failed"]


def test_a_change_of_code_makes_new_cells(run, cache: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "my_method.py"
    source = (
        "from faceinv import hookimpl\nfrom faceinv.contracts.specs import MethodSpec\n"
        "from faceinv_id2image.methods import Regression\n"
        "@hookimpl\ndef faceinv_methods():\n"
        "    return [MethodSpec(name='mine', summary='s', target='my_method:Regression', licence='MIT',"
        " access='scores', optimises=False)]\n"
    )
    plugin.write_text(source)
    for count in (1, 1):
        assert run("--plugin", plugin, *TOY, "--losses", "id", "--method", "mine", "--out", tmp_path / "run").code == 0
        assert len(records(tmp_path / "run")) == count
    plugin.write_text(source + "EDITED = True\n")
    assert run("--plugin", plugin, *TOY, "--losses", "id", "--method", "mine", "--out", tmp_path / "run").code == 0
    assert len(records(tmp_path / "run")) == 2


def test_a_metrics_weights_are_fetched_before_the_cell_is_named(run, cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.bin"
    file.write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    plugin = tmp_path / "weighty_metric.py"
    plugin.write_text(
        "from faceinv import hookimpl\nfrom faceinv.contracts.specs import MetricSpec, WeightSpec\n"
        "def build(path, *, framing):\n    return lambda comparison: comparison.target.mean((1, 2, 3))\n"
        "@hookimpl\ndef faceinv_metrics():\n"
        "    return [MetricSpec(name='weighty', summary='s', target='weighty_metric:build', licence='MIT',"
        " weights=('weighty/file',), unit='1', higher_is_better=True)]\n"
        "@hookimpl\ndef faceinv_weights():\n"
        f"    return [WeightSpec(name='weighty/file', filename='m.bin', sha256='{sha256}',"
        f" sources=('file:{file}',), licence='MIT')]\n"
    )
    for _ in range(2):
        assert (
            run("--plugin", plugin, *TOY, "--losses", "id", "--metric", "weighty", "--out", tmp_path / "run").code == 0
        )
        (record,) = records(tmp_path / "run").values()
    assert record["weights"]["weighty/file"] == sha256


def test_scores_only_access_is_enforced(run, cache: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "greedy_method.py"
    plugin.write_text(
        "import torch\nfrom faceinv import hookimpl\nfrom faceinv.contracts.specs import MethodSpec\n"
        "from faceinv_id2image.methods import LatentAdam\n"
        "@hookimpl\ndef faceinv_methods():\n"
        "    return [MethodSpec(name='greedy', summary='s', target='greedy_method:LatentAdam',"
        " licence='MIT', access='scores')]\n"
    )
    result = run("--plugin", plugin, *TOY, "--losses", "id", "--method", "greedy", "--out", tmp_path / "run")
    assert result.code == 5
    assert "The method 'greedy' declares access='scores' but asks for descriptors (task.encode)" in result.err


def test_methods_and_budgets_make_a_grid_and_records_have_the_queries(run, cache: Path, tmp_path: Path) -> None:
    methods = ("--method", "latent-adam,regression", "--steps", "2,5")
    result = run(*UNBOUND[:-6], *methods, "--metric", "mse", "--losses", "id", "--json", "--out", tmp_path)
    assert result.code == 0, result.err
    used = [(row["method"], row["access"], row["steps"], row["queries"], row["image_steps"]) for row in result.json]
    # The regression takes no steps, so it appears once for all budgets.
    assert used == [
        ("latent-adam", "white-box", 2, 2, 2),
        ("latent-adam", "white-box", 5, 5, 5),
        ("regression", "scores", 0, 0, 0),
    ]
    for record in records(tmp_path).values():
        assert len(record["trajectory"].get("total", [])) == record["queries"] == record["image_steps"]


LEARNS = """
from faceinv import hookimpl
from faceinv.contracts import Inversion
from faceinv.contracts import MethodSpec

class Mean:
    def prepare(self, training):
        def make():
            training.encode(training.generator(training.latents[:2], training.space))
            print('LEARNT FROM', len(training.latents))
            return {'mean': training.latents.mean(0)}
        self.mean = training.cached({}, make)['mean']

    def __call__(self, task):
        latents = self.mean.expand(len(task.descriptors), -1)
        images = task.generator(latents, task.space)
        return Inversion(latents, images, images)

@hookimpl
def faceinv_methods():
    return [
        MethodSpec(name=f'mean-{offline}', summary='s', target='learning_method:Mean', licence='MIT',
                   access='scores', offline=offline, optimises=False)
        for offline in ('none', 'pairs', 'white-box')
    ]
"""


def test_a_method_that_learns_does_so_once(run, cache: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "learning_method.py"
    plugin.write_text(LEARNS)
    args = ("--plugin", plugin, *TOY, "--losses", "id", "--method")
    first = run(*args, "mean-white-box", "--out", tmp_path / "a")
    assert first.code == 0, first.err
    # Output that plugins print is not a result.
    assert "LEARNT FROM 200" in first.err
    again = run(*args, "mean-white-box", "--seed", "1", "--out", tmp_path / "b")
    assert again.code == 0
    assert "LEARNT" not in again.out + again.err
    for offline, text in (("none", "offline='pairs' or 'white-box'"), ("pairs", "declare offline='white-box'")):
        refused = run(*args, f"mean-{offline}", "--out", tmp_path / offline)
        assert refused.code == 5
        assert text in refused.err


def test_scoring_with_the_attacked_encoder_gives_a_warning(run, cache: Path, tmp_path: Path) -> None:
    args = [arg if arg != "toy.critic" else "toy.attacked" for arg in TOY]
    result = run(*args, "--losses", "id", "--out", tmp_path)
    assert result.code == 0
    assert "overfitting, not identity" in result.err


def test_an_unwritable_folder_is_one_line(run, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run(*TOY, "--losses", "id", "--out", tmp_path / "file" / "run")
    assert result.code == 6
    assert [line for line in result.err.splitlines() if line.startswith("Error")] == result.err.splitlines()
    assert "Traceback" not in result.err


def test_the_table_names_n_intervals_and_where_targets_came_from(run, cache: Path, tmp_path: Path) -> None:
    result = run(*TOY, "--losses", "id,brightness", "--ablate", "--out", tmp_path)
    assert "5 samples of the generator" in result.out
    assert "95 % interval" in result.out
    assert "Paired differences" in result.out
    assert "probe: brightness" in result.out


def test_the_methods_of_one_run_are_ranked_at_equal_budgets(
    run, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    drawn: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "multiline_text", lambda self, at, text, **_: drawn.append(text))
    args = ("--method", "latent-adam,zeroth,regression", "--steps", "3,9", "--losses", "id", "--out", out)
    assert run(*UNBOUND, *args).code == 0
    # The final contact sheet shows above each column how it differs from the others, and its score.
    captions = {tuple(text.splitlines()[1:-1]) for text in drawn if "critic" in text}
    assert captions == {("method regression",)} | {
        (f"method {m}", f"steps {n}") for m in ("latent-adam", "zeroth") for n in (3, 9)
    }
    (board,) = run("compare", out, "--json").json
    rows = board["places"]
    assert (rows[0]["method"], rows[0]["steps"]) == ("regression", 0)
    assert sorted((row["method"], row["steps"]) for row in rows[1:]) == [
        (method, steps) for method in ("latent-adam", "zeroth") for steps in (3, 9)
    ]
    for first, second in ((rows[1], rows[2]), (rows[3], rows[4])):
        assert first["scores"]["id_sim_critic"]["mean"] >= second["scores"]["id_sim_critic"]["mean"]
    for row in rows:
        critic = row["scores"]["id_sim_critic"]["mean"]
        own = [item for item in rows if (item["method"], item["steps"]) == ("latent-adam", row["steps"])]
        if row["method"] == "zeroth":
            expected = critic - own[0]["scores"]["id_sim_critic"]["mean"]
            assert row["differences"]["id_sim_critic"]["mean"] == pytest.approx(expected)
        else:
            assert row["differences"] == {}
    table = run("compare", out)
    assert table.code == 0, table.err
    assert "scores" in table.out
    refused = run("compare", out, "--reference", "zerot")
    assert refused.code == 2
    assert "Did you mean 'zeroth'" in refused.err


def test_skipped_targets_do_not_change_the_others(run, cache: Path, tmp_path: Path) -> None:
    whole, rest = tmp_path / "whole", tmp_path / "rest"
    for out, more in ((whole, ()), (rest, ("--limit", "3", "--skip", "2"))):
        result = run(*TOY, *more, "--losses", "id", "--out", out)
        assert result.code == 0, result.err
    (all_five,), (last,) = (
        [pq.read_table(path).to_pydict() for path in (out / "cells").glob("*.parquet")] for out in (whole, rest)
    )
    assert last["target"] == all_five["target"][2:]
    assert last["mse"] == pytest.approx(all_five["mse"][2:], rel=1e-4)


def test_the_regressor_is_only_trained_for_methods_that_need_it(run, cache: Path, tmp_path: Path) -> None:
    grid = ("--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets")
    few = ("--limit", "2", "--steps", "2", "--pairs", "200", "--losses", "id", "--metric", "mse", "--out", tmp_path)
    free = run("bench", *grid, *few, "--method", "pixel")
    assert free.code == 0, free.err
    assert not list(cache.rglob("latent regressor-*.safetensors"))
    assert run("train", *grid, *few, "--method", "pixel,latent-adam").code == 0
    assert list(cache.rglob("latent regressor-*.safetensors"))
