"""Table 2, attack success and identification, recomputed with scikit-image, scikit-learn and SciPy."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from scipy.stats import binomtest
from skimage.io import imread
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import roc_curve
from sklearn.metrics.pairwise import cosine_similarity

from faceinv.cli import main
from faceinv.testing import toy
from faceinv.testing.toy_networks import ToyEncoder, ToyGenerator

HERE = Path(__file__).parent
#: Photographs of each person of ``toy_people.py``, in order.
PHOTOGRAPHS = [3, 2, 1, *[2] * 17]
#: The encoders by role. The attacked one is also a critic, which gives a warning.
ROLES = {"attacked": 1, "critic": 2, "critic:toy.attacked": 1}
TARGETS = [0, 3, *range(6, 40, 2)]  # the first photograph of each person who has two


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]], str]:
    """A run on people with several photographs: its folder, the output of ``--json``, and the printed tables."""
    folder = tmp_path_factory.mktemp("people")
    out = folder / "run"
    arguments = [
        *("--encoder", "toy", "--critic", "toy.critic,toy", "--generator", "toy-faces", "--dataset", "toy-people"),
        *("--per-person", "1", "--min-photographs", "2", "--limit", "50", "--steps", "20", "--pairs", "400"),
        *("--losses", "id,brightness", "--ablate", "--metric", "mse", "--metric", "mse_paper", "--metric", "psnr"),
        *("--metric", "ssim", "--metric", "id_sim_attacked", "--metric", "id_sim_critic"),
        *("--metric", "success", "--metric", "identification", "--out", str(out)),
    ]
    shown = _faceinv(folder, "bench", *arguments)
    return out, json.loads(_faceinv(folder, "bench", *arguments, "--json")[0]), "".join(shown)


def _faceinv(cache: Path, *arguments: str) -> tuple[str, str]:
    """Run the command line in this process and return its standard output and standard error."""
    out, said = io.StringIO(), io.StringIO()
    plugins = ["--plugin", toy.__file__, "--plugin", str(HERE / "toy_people.py")]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(said):
        patch.setenv("FACEINV_CACHE", str(cache / "cache"))
        patch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as stopped:
            main([*plugins, *arguments])
    assert not stopped.value.code, said.getvalue()
    return out.getvalue(), said.getvalue()


def _photographs() -> np.ndarray:
    """Return the data set's photographs rounded to 8 bits, ``(40, 16, 16, 3)``."""
    rng = torch.Generator().manual_seed(5)
    who = [torch.randn(1, 6, generator=rng) for _ in PHOTOGRAPHS]
    rows = [person for person, count in enumerate(PHOTOGRAPHS) for _ in range(count)]
    with torch.inference_mode():
        latents = torch.cat([who[person] + 0.25 * torch.randn(1, 6, generator=rng) for person in rows])
        images = ToyGenerator()(latents, "z")
    return images.permute(0, 2, 3, 1).mul(255).round().byte().numpy()


def _embed(images: np.ndarray, seed: int) -> np.ndarray:
    with torch.inference_mode():
        return ToyEncoder(seed)(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255).numpy()


def _read(out: Path, row: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, dict[str, Any], dict[str, list[Any]]]:
    """Return targets and reconstructions from the PNGs, the record, and the rows."""
    cells = out / "cells"
    targets = np.stack([imread(cells / row["id"] / f"{index:05d}-target.png") for index in range(row["n"])])
    results = np.stack([imread(cells / row["id"] / f"{index:05d}.png") for index in range(row["n"])])
    record = json.loads((cells / f"{row['id']}.json").read_text())
    return targets, results, record, pq.read_table(cells / f"{row['id']}.parquet").to_pydict()


def test_table_two_is_scikit_images(finished: tuple[Path, list[dict[str, Any]], str]) -> None:
    out, rows, _ = finished
    assert [row["losses"] for row in rows] == ["id", "id,brightness"]
    for row in rows:
        targets, results, record, columns = _read(out, row)
        assert row["n"] == len(TARGETS) == 19
        np.testing.assert_array_equal(targets, _photographs()[TARGETS])
        pairs = [(a / 255, b / 255) for a, b in zip(targets, results, strict=True)]
        expected = {
            "mse": [mean_squared_error(a, b) for a, b in pairs],
            "mse_paper": [10 * mean_squared_error(2 * a - 1, 2 * b - 1) for a, b in pairs],
            "psnr": [peak_signal_noise_ratio(a, b, data_range=1) for a, b in pairs],
            "ssim": [
                structural_similarity(
                    a, b, data_range=1, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
                )
                for a, b in pairs
            ],
        }
        for name, values in expected.items():
            np.testing.assert_allclose(columns[name], values, rtol=1e-4, atol=1e-5)
            for metrics in (row["metrics"], record["metrics"]):
                assert metrics[name]["mean"] == pytest.approx(np.mean(values), rel=1e-4)
                assert metrics[name]["n"] == 19
        assert record["metrics"]["mse_paper"]["unit"] == "10 × MSE on [−1, 1]"


class Expected:
    """Scores of the images by scikit-learn and SciPy, for one encoder."""

    def __init__(self, results: np.ndarray, seed: int) -> None:
        photographs = _embed(_photographs(), seed)
        who = np.repeat(np.arange(len(PHOTOGRAPHS)), PHOTOGRAPHS)
        # The person with a single photograph is not a target and not in the gallery.
        used = who != 2
        every = cosine_similarity(photographs[used])
        first, second = np.triu_indices(used.sum(), k=1)
        same = who[used][first] == who[used][second]
        self.genuine, self.impostor = every[first, second][same], every[first, second][~same]
        self.fpr, self.tpr, thresholds = roc_curve(same, every[first, second], drop_intermediate=False)
        self.thresholds = thresholds
        scores = cosine_similarity(_embed(results, seed), photographs)
        self.leaked = scores[np.arange(19), TARGETS]
        self.others = [
            scores[row, (who == who[target]) & (np.arange(40) != target)] for row, target in enumerate(TARGETS)
        ]
        self.floor = [
            np.mean([scores[row, other] for other in TARGETS if other != target]) for row, target in enumerate(TARGETS)
        ]
        self.rank_leaked = [
            int((scores[row, TARGETS] >= scores[row, target]).sum()) for row, target in enumerate(TARGETS)
        ]
        second_photographs = [target + 1 for target in TARGETS]
        self.rank_other = [
            int((scores[row, second_photographs] >= scores[row, target + 1]).sum())
            for row, target in enumerate(TARGETS)
        ]

    def threshold(self, rate: float) -> float:
        """Return the lowest impostor score at which the false match rate holds."""
        last = np.flatnonzero(self.fpr <= rate + 1e-12)[-1]
        return float(self.impostor[self.impostor >= self.thresholds[last] - 1e-7].min())


@pytest.mark.parametrize("role", ROLES)
def test_the_success_table_is_scikit_learns_and_scipys(
    finished: tuple[Path, list[dict[str, Any]], str], role: str
) -> None:
    out, rows, _ = finished
    for row in rows:
        _, results, record, columns = _read(out, row)
        assert record["success"] == row["success"]
        expected = Expected(results, ROLES[role])
        pairs = len(expected.impostor)
        assert (pairs, len(expected.genuine)) == (39 * 38 // 2 - 21, 21)
        for found in (item for item in row["success"] if item["role"] == role):
            if found["fmr"] * pairs < 1:
                assert found["share"] is found["threshold"] is found["accepted"] is None
                assert found["reason"].startswith(f"too few pairs: FMR {found['fmr']:g} needs at least ")
                continue
            threshold = expected.threshold(found["fmr"])
            assert found["threshold"] == pytest.approx(threshold, abs=1e-6)
            scores = expected.leaked if found["type"] == "I" else [others[0] for others in expected.others]
            accepted = [score >= threshold - 1e-7 for score in scores]
            share = binomtest(sum(accepted), 19)
            interval = share.proportion_ci(method="wilson")
            assert (found["accepted"], found["n"]) == (sum(accepted), 19)
            assert (found["share"], found["low"], found["high"]) == pytest.approx(
                (sum(accepted) / 19, interval.low, interval.high)
            )
            assert columns[f"success_type{len(found['type'])}@{found['fmr']:g}:{role}"] == accepted
            assert found["tmr"] == pytest.approx(np.mean(expected.genuine >= threshold - 1e-7))
            if found["type"] == "II":
                assert found["photographs"] == 20
                assert found["share_all"] == pytest.approx(
                    np.mean([np.mean(o >= threshold - 1e-7) for o in expected.others])
                )
        # The attack must work for this to check anything.
        assert any(item["share"] for item in row["success"] if item["role"] == role)


@pytest.mark.parametrize("role", ROLES)
def test_identification_cosines_and_recognition(finished: tuple[Path, list[dict[str, Any]], str], role: str) -> None:
    out, rows, _ = finished
    for row in rows:
        _, results, record, columns = _read(out, row)
        expected = Expected(results, ROLES[role])
        kind, colon, critic = role.partition(":")
        for name, values in (
            (f"id_sim_{kind}{colon}{critic}", expected.leaked),
            (f"id_sim_{kind}_floor{colon}{critic}", expected.floor),
            (f"id_sim_{kind}_other{colon}{critic}", [np.mean(others) for others in expected.others]),
        ):
            np.testing.assert_allclose(columns[name], values, atol=1e-5)
            assert row["metrics"][name]["mean"] == pytest.approx(np.mean(values), abs=1e-5)
            assert row["metrics"][name]["encoder"] == ("toy.critic" if role == "critic" else "toy.attacked")
        for gallery, ranks in (("leaked", expected.rank_leaked), ("other", expected.rank_other)):
            assert columns[f"identification_{gallery}:{role}"] == ranks
            for found in row["identification"]:
                if (found["role"], found["gallery"]) == (role, gallery):
                    hits = sum(rank <= found["rank"] for rank in ranks)
                    interval = binomtest(hits, 19).proportion_ci(method="wilson")
                    assert (found["hits"], found["n"], found["gallery_size"]) == (hits, 19, 19)
                    assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high))
        block = record["recognition"][role]
        rate = brentq(lambda x, e=expected: 1 - x - interp1d(e.fpr, e.tpr)(x), 0, 1)
        assert block["eer"] == pytest.approx(rate, abs=1e-6)
        shown = {name: block["distributions"][name] for name in ("genuine", "impostor", "leaked")}
        for name, scores in (
            ("genuine", expected.genuine),
            ("impostor", expected.impostor),
            ("leaked", expected.leaked),
        ):
            assert shown[name]["mean"] == pytest.approx(np.mean(scores), abs=1e-5)
            assert shown[name]["std"] == pytest.approx(np.std(scores, ddof=1), abs=1e-5)
            assert sum(shown[name]["histogram"]) == shown[name]["n"] == len(scores)
            cumulated = np.cumsum(np.histogram(scores, 100, (-1, 1))[0])
            # Rounding may move a score across a bin's edge.
            assert np.abs(np.cumsum(shown[name]["histogram"]) - cumulated).max() <= 1
        assert (block["photographs"], block["people"], block["source"]) == (39, 19, "targets")


def test_the_attacked_encoder_as_a_critic_is_warned_of_in_every_output(
    finished: tuple[Path, list[dict[str, Any]], str],
) -> None:
    out, rows, shown = finished
    for row in rows:
        assert (row["critic"], row["critics"]) == ("toy.critic", ["toy.critic", "toy.attacked"])
        record = json.loads((out / "cells" / f"{row['id']}.json").read_text())
        for warnings in (row["warnings"], record["warnings"]):
            assert len(warnings) == 1
            assert "overfitting, not identity" in warnings[0]
    # Once during the run and once below the table.
    assert shown.count("scores its own inversion as a critic") == 2


def test_a_person_sees_thresholds_shares_and_what_cannot_be_said(
    finished: tuple[Path, list[dict[str, Any]], str],
) -> None:
    _, rows, shown = finished
    assert "too few pairs" in shown
    (found,) = [r for r in rows[0]["success"] if (r["role"], r["type"], r["fmr"]) == ("critic", "II", 0.01)]
    line = next(line for line in shown.splitlines() if "toy.critic (unseen critic), FMR 0.01, type II " in line)
    counts = f"({found['accepted']}/{found['n']})"
    assert f"{100 * found['share']:.0f} % {counts} [{100 * found['low']:.0f}, {100 * found['high']:.0f}]" in line
    assert line.split()[-2:] == [f"{100 * found['tmr']:.0f}", "%"]
    ranks = [r for r in rows[0]["identification"] if (r["role"], r["gallery"]) == ("critic", "other")]
    name = "toy.critic (unseen critic), first {} of 19, another photograph of each person"
    for rank in ranks[:2]:
        (line,) = [one for one in shown.splitlines() if name.format(rank["rank"]) in one]
        assert f"{100 * rank['share']:.0f} % [" in line
    assert "toy.attacked (the attacked encoder)" in shown


def _shape(value: Any) -> Any:
    """Return the keys of a record at all levels; of a list, those of its first element."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    return [_shape(value[0])] if isinstance(value, list) and value and isinstance(value[0], dict) else ...


def test_the_example_of_a_record_is_like_a_real_one(finished: tuple[Path, list[dict[str, Any]], str]) -> None:
    out, rows, _ = finished
    example = json.loads(next((HERE / "records" / "v2" / "cells").glob("*.json")).read_text())
    record = json.loads((out / "cells" / f"{rows[0]['id']}.json").read_text())
    assert set(example) == set(record)
    assert example["schema"] == record["schema"]
    assert set(example["config"]) == set(record["config"])
    for key in ("recognition", "metrics"):
        (real, *_), (shown, *_) = ([_shape(item) for item in of[key].values()] for of in (record, example))
        assert real == shown
    for key in ("success", "identification"):
        assert [_shape(item) for item in record[key][:2]] == [_shape(item) for item in example[key][:2]]


def test_encoders_can_be_judged_on_another_data_set(run: Callable[..., Any], cache: Path, tmp_path: Path) -> None:
    args = (
        *("--plugin", HERE / "toy_people.py", "bench", "--encoder", "toy", "--critic", "toy.critic"),
        *("--generator", "toy-faces", "--dataset", "toy-targets", "--limit", "6", "--steps", "2", "--pairs", "200"),
        *("--losses", "id", "--metric", "success", "--metric", "id_sim_critic", "--json", "--out", tmp_path),
    )
    alone = run(*args).json[0]
    assert alone["recognition"]["critic"]["people"] is None
    assert "impostor pairs only" in alone["recognition"]["critic"]["notes"][0]
    assert alone["recognition"]["critic"]["eer"] is alone["recognition"]["critic"]["verification"] is None
    assert alone["recognition"]["critic"]["distributions"]["genuine"] is None
    assert all(row["share"] is None for row in alone["success"])
    judged = run(*args, "--recognition", "toy-people").json[0]
    assert judged["id"] != alone["id"]
    block = judged["recognition"]["critic"]
    assert (block["source"], block["people"], block["photographs"]) == ("toy-people", 20, 40)
    assert block["verification"]["pairs"] == 42
    first, second = judged["success"][:2]
    assert first["share"] is not None
    assert (second["n"], second["share"]) == (0, None)
    assert "another photograph" in second["reason"]
    few = run(*args, "--recognition", "toy-people", "--recognition-limit", "5").json[0]
    assert few["recognition"]["critic"]["photographs"] == 5


def test_what_is_exported_is_what_was_measured(finished: tuple[Path, list[dict[str, Any]], str]) -> None:
    """Every number of the printed tables (Table 2 and attack success), recomputed from the images."""
    out, rows, _ = finished
    printed, _ = _faceinv(out, "export", str(out), "--format", "json")
    tables = {table["table"]: {row["name"]: row["cells"] for row in table["rows"]} for table in json.loads(printed)}
    for place, row in enumerate(rows):
        targets, results, _, _ = _read(out, row)
        pairs = [(a / 255, b / 255) for a, b in zip(targets, results, strict=True)]
        for name, values in (
            ("MSE", [mean_squared_error(a, b) for a, b in pairs]),
            ("MSE on the paper's scale", [10 * mean_squared_error(2 * a - 1, 2 * b - 1) for a, b in pairs]),
            ("PSNR", [peak_signal_noise_ratio(a, b, data_range=1) for a, b in pairs]),
        ):
            assert tables["scores"][name][place]["value"] == pytest.approx(np.mean(values), rel=1e-4)
        judges = {"toy.critic (unseen critic)": 2, "toy.attacked (the attacked encoder)": 1}
        for judge, seed in judges.items():
            expected = Expected(results, seed)
            at = expected.threshold(0.01) - 1e-7
            for kind, scores in (("I", expected.leaked), ("II", [others[0] for others in expected.others])):
                cells = tables["success"][f"{judge}, FMR 0.01, type {kind}"]
                assert cells[place]["value"] == np.mean([score >= at for score in scores])
                assert cells[-1]["value"] == pytest.approx(np.mean(expected.genuine >= at))
