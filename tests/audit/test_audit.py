"""``faceinv probe`` on a CelebA that the test makes: what was planted is found, what is random is not."""

from __future__ import annotations

import csv
import io
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from faceinv.scoring.statistics import Interval
from faceinv.storage.probe_folder import ProbeFolder

NAMES = tuple(
    """
    5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair
    Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male
    Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks
    Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick Wearing_Necklace
    Wearing_Necktie Young
    """.split()  # noqa: SIM905
)
IMAGES, PEOPLE = 448, 112


@dataclass(frozen=True)
class Fixture:
    root: Path
    smiling: list[bool]


def make_celeba(root: Path, official: bool) -> Fixture:
    """Grey photographs with a bright mouth where 'Smiling' is planted; the other 39 attributes are coins."""
    folders = {"img_align_celeba": "Img", "list_attr_celeba.txt": "Anno", "identity_CelebA.txt": "Anno",
               "list_eval_partition.txt": "Eval"}  # fmt: skip

    def place(name: str) -> Path:
        path = root / (folders[name] if official else "") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    coin, noise = random.Random(1), np.random.default_rng(0)
    images = place("img_align_celeba")
    images.mkdir()
    smiling, rows, people, parts = [], [], [], []
    for k in range(IMAGES):
        name, person = f"{k + 1:06d}.jpg", k % PEOPLE
        values = {attribute: coin.random() < 0.4 for attribute in NAMES}
        smiling.append(values["Smiling"])
        pixels = noise.normal(110, 25, (14, 12, 3)).repeat(16, 0).repeat(16, 1)[:218, :178]
        pixels[130:180, 50:130] += 90 if values["Smiling"] else -60
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(images / name, quality=90)
        rows.append(f"{name} {' '.join(' 1' if values[a] else '-1' for a in NAMES)}\n")
        people.append(f"{name} {person}\n")
        parts.append(f"{name} {0 if person < 72 else 1 if person < 84 else 2}\n")
    place("list_attr_celeba.txt").write_text(f"{IMAGES}\n{' '.join(NAMES)} \n{''.join(rows)}")
    place("identity_CelebA.txt").write_text("".join(people))
    place("list_eval_partition.txt").write_text("".join(parts))
    return Fixture(root, smiling)


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Fixture:
    return make_celeba(tmp_path_factory.mktemp("celeba") / "one", False)


def row_of(rows: list[dict[str, Any]], attribute: str, source: str, recipe: str | None = "tuned") -> dict[str, Any]:
    wanted = (attribute, source, recipe)
    return next(row for row in rows if (row["attribute"], row["source"], row["recipe"]) == wanted)


def value(row: dict[str, Any], metric: str) -> Interval:
    return Interval(**{end: math.nan if x is None else x for end, x in row["metrics"][metric].items()})


@pytest.mark.parametrize(("official", "recipe"), [(False, "tuned"), (True, "paper")])
def test_a_planted_attribute_is_found_and_a_random_one_is_not(
    run: Callable[..., Any], cache: Path, tmp_path: Path, official: bool, recipe: str
) -> None:
    celeba = make_celeba(tmp_path / "celeba", official)
    result = run(
        "--no-plugins", "landmarks", "probe", "--encoder", "toy.attacked", "--dataset", f"celeba:{celeba.root}",
        "--attributes", "all", "--recipe", recipe, "--no-image", "--json", "--out", tmp_path / "run",
    )  # fmt: skip
    assert result.code == 0, result.err
    rows = result.json
    binary = {row["attribute"] for row in rows if "auc" in row["metrics"]}
    assert binary == {name.lower() for name in NAMES}
    found = row_of(rows, "smiling", "descriptor", recipe)
    assert found["n"] == 112
    assert value(found, "auc").low > 0.9
    assert value(found, "accuracy").low > 0.75
    random_one = value(row_of(rows, "wearing_hat", "descriptor", recipe), "auc")
    assert random_one.low < 0.5 < random_one.high
    # Of 39 coins, about two intervals miss 0.5 by chance; more would be intervals that are too narrow.
    scores = {name: value(row_of(rows, name, "descriptor", recipe), "auc") for name in binary - {"smiling"}}
    misses = [name for name, score in scores.items() if not score.low <= 0.5 <= score.high]
    assert len(misses) <= 7, misses
    assert np.mean([score.mean for score in scores.values()]) == pytest.approx(0.5, abs=0.04)
    assert "Without landmarks" not in result.err  # what is not installed is not missed
    assert "Without pose" in result.err
    guess = row_of(rows, "smiling", "baseline", None)
    assert value(guess, "auc").mean == 0.5
    assert guess["encoder"] is None
    test = [k for k in range(IMAGES) if k % PEOPLE >= 84]
    assert value(guess, "accuracy").mean == pytest.approx(np.mean([not celeba.smiling[k] for k in test]))


def test_an_audit_in_bf16_is_another_and_says_so_and_a_compiled_one_is_the_same(
    run: Callable[..., Any], cache: Path, flat: Fixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    command = (
        "probe", "--encoder", "toy.attacked", "--dataset", f"celeba:{flat.root}", "--attributes", "smiling,brightness",
        "--no-image", "--out", out,
    )  # fmt: skip
    exact = run(*command, "--json").json
    monkeypatch.setattr(torch, "compile", lambda function: pytest.fail("what is there was computed again"))
    assert run(*command, "--compile", "--json").json == exact
    assert len(list((out / "probes").glob("*.json"))) == 1
    lowered = run(*command, "--precision", "bf16", "--json").json
    assert {row["precision"] for row in lowered} == {"bf16", None}
    assert (
        row_of(lowered, "brightness", "descriptor")["metrics"] != row_of(exact, "brightness", "descriptor")["metrics"]
    )
    assert "toy.attacked in bf16" in run(*command, "--precision", "bf16", "--markdown").out
    assert len(list((out / "probes").glob("*.json"))) == 2


def test_rows_are_as_promised_and_kept(run: Callable[..., Any], cache: Path, flat: Fixture, tmp_path: Path) -> None:
    command = (
        "probe", "--encoder", "toy.attacked", "--encoder", "toy.critic", "--dataset", f"celeba:{flat.root}",
        "--attributes", "Smiling,histogram,brightness", "--recipe", "tuned,paper", "--image-epochs", "6",
        "--out", tmp_path / "run",
    )  # fmt: skip
    result = run(*command, "--json")
    assert result.code == 0, result.err
    rows = result.json
    keys = {"encoder", "precision", "attribute", "source", "recipe", "dataset", "n", "metrics"}
    assert all(set(row) == keys for row in rows)
    assert {(row["source"], row["precision"]) for row in rows} == {
        ("descriptor", "fp32"), ("image", None), ("baseline", None)
    }  # fmt: skip
    names = {"accuracy", "balanced_accuracy", "auc", "landmark_error", "histogram_emd", "r2", "leakage"}
    assert all(set(row["metrics"]) <= names for row in rows)
    assert all(set(score) == {"mean", "low", "high"} for row in rows for score in row["metrics"].values())
    seen = [(row["encoder"], row["attribute"], row["source"], row["recipe"]) for row in rows]
    assert len(seen) == len(set(seen))  # image and baseline once, whatever the number of encoders
    # The histogram is counted: looking at the image is exact, and leaves no error.
    exact = row_of(rows, "histogram", "image", "exact")
    assert value(exact, "histogram_emd") == Interval(0, 0, 0)
    assert value(row_of(rows, "smiling", "image", "lcnet_050"), "auc").low > 0.6
    assert value(row_of(rows, "smiling", "descriptor"), "leakage").mean > 0.5
    # The paper has no recipe for the toy's own probe.
    assert not [row for row in rows if row["attribute"] == "brightness" and row["recipe"] == "paper"]
    assert value(row_of(rows, "brightness", "descriptor"), "r2").low > 0.3

    files = sorted((tmp_path / "run" / "probes").glob("*.json"))
    assert len(files) == 2
    record = json.loads(files[0].read_text())
    assert record["kind"] == "probe"
    assert record["schema"] == 1
    assert {"rows", "config", "weights", "dataset", "environment", "skipped"} <= set(record)
    assert record["dataset"]["people"] == {"train": 72, "val": 12, "test": 28}
    assert record["rows"] == [row for row in rows if row["encoder"] in (None, record["config"]["encoder"])] or {
        json.dumps(row) for row in record["rows"]
    } <= {json.dumps(row) for row in rows}
    lines = ProbeFolder(tmp_path / "run").rows(record["id"])
    of_smiling = [
        x for x in lines if x["attribute"] == "smiling" and x["source"] == "descriptor" and x["recipe"] == "tuned"
    ]
    assert len(of_smiling) == 112
    own = next(row for row in record["rows"] if row["attribute"] == "smiling" and row["recipe"] == "tuned")
    assert 1 - np.mean([x["error"] for x in of_smiling]) == pytest.approx(own["metrics"]["accuracy"]["mean"])
    assert all((x["read"][0] > 0.5) != bool(x["error"]) or x["truth"][0] < 0.5 for x in of_smiling)

    before = {path: path.stat().st_mtime_ns for path in files}
    again = run(*command, "--csv")
    assert again.code == 0
    assert {path: path.stat().st_mtime_ns for path in files} == before
    table = list(csv.DictReader(io.StringIO(again.out)))
    assert {line["metric"] for line in table} <= names
    assert len(table) == sum(len(row["metrics"]) for row in rows)
    for form, mark in (("--markdown", "| --- |"), ("--latex", r"\toprule"), ("--figures", "Table 1.")):
        shown = run(*command, form)
        assert shown.code == 0, shown.err
        assert mark in shown.out
        assert "92" in shown.out  # the paper's own figure stands in a column of its own
    pictures = sorted(path.name for path in (tmp_path / "run").glob("figure-*.png"))
    assert pictures == [
        f"figure-{number}-toy.{encoder}-{recipe}.png"
        for number in (2, 3) for encoder in ("attacked", "critic") for recipe in ("paper", "tuned")
    ]  # fmt: skip
    # The photographs that are kept have their own proportions, and any figure can be drawn from them.
    kept = list((tmp_path / "run" / "probes" / record["id"]).glob("*.png"))
    assert kept
    with Image.open(kept[0]) as photograph:
        assert photograph.size == (178, 218)
    drawn = run("export", tmp_path / "run", "--figure", "3", "--out", tmp_path / "three.svg")
    assert drawn.code == 0, drawn.err
    assert len(list(tmp_path.glob("three-toy.*.svg"))) == 4
    page = tmp_path / "page.html"
    assert run("report", tmp_path / "run", "--out", page).code == 0
    assert page.read_text().count('alt="Figure') == 8
    assert run("report", tmp_path / "run", "--no-images", "--out", page).code == 0
    assert 'alt="Figure' not in page.read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--attributes", "smilling"), "Unknown attribute 'smilling'. Did you mean 'smiling'?"),
        (("--recipe", "paperr"), "There is no recipe 'paperr'. Available: tuned, paper"),
        (("--encoder", "toy.atacked"), "Did you mean 'toy.attacked'?"),
        (("--backbone", "resnet18x"), "timm has no model 'resnet18x'. Did you mean 'resnet18"),
        (("--limit", "12"), "an audit needs at least 20"),
        (("--labels", "none.csv"), "takes no"),
        (("--image-epochs", "0"), "image-epochs"),
    ],
)
def test_what_is_wrong_is_said(
    run: Callable[..., Any], cache: Path, flat: Fixture, tmp_path: Path, more: tuple[str, str], message: str
) -> None:
    encoder = () if "--encoder" in more else ("--encoder", "toy.attacked")
    result = run("probe", *encoder, "--dataset", f"celeba:{flat.root}", "--attributes", "smiling", "--out",
                 tmp_path / "run", *more)  # fmt: skip
    assert result.code in (2, 3), result.err
    assert message in result.err
    assert "Traceback" not in result.err


def test_where_nothing_is_named_the_papers_attributes_are_read(
    run: Callable[..., Any], cache: Path, flat: Fixture, tmp_path: Path
) -> None:
    result = run(
        "--no-plugins", "landmarks", "probe", "--encoder", "toy.attacked", "--dataset", f"celeba:{flat.root}",
        "--no-image", "--json", "--limit", "200", "--out", tmp_path / "run",
    )  # fmt: skip
    assert result.code == 0, result.err
    names = list(dict.fromkeys(row["attribute"] for row in result.json))
    assert names[:3] == ["smiling", "wearing_hat", "eyeglasses"]
    assert {"histogram", "skin-colour", "background-colour", "illumination"} <= set(names)
    assert {row["n"] for row in result.json if row["attribute"] == "smiling"} == {
        len([k for k in range(200) if (k * IMAGES // 200) % PEOPLE >= 84])
    }


def test_samples_of_a_generator_are_a_data_set_too(run: Callable[..., Any], cache: Path, tmp_path: Path) -> None:
    """Without annotations and identities, everything that can be measured is read, over images."""
    result = run(
        "probe", "--encoder", "toy.attacked", "--generator", "toy-faces", "--dataset", "synthetic", "--limit", "300",
        "--attributes", "brightness", "--no-image", "--json", "--out", tmp_path / "run",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert value(row_of(result.json, "brightness", "descriptor"), "r2").low > 0.3


def test_without_a_validation_part_people_are_taken_from_training(
    run: Callable[..., Any], cache: Path, tmp_path: Path
) -> None:
    root = make_celeba(tmp_path / "celeba", False).root
    parts = root / "list_eval_partition.txt"
    parts.write_text(parts.read_text().replace(" 1\n", " 0\n"))
    result = run(
        "probe", "--encoder", "toy.attacked", "--dataset", f"celeba:{root}", "--attributes", "smiling", "--no-image",
        "--json", "--out", tmp_path / "run",
    )  # fmt: skip
    assert result.code == 0, result.err
    record = json.loads(next((tmp_path / "run" / "probes").glob("*.json")).read_text())
    people = record["dataset"]["people"]
    assert people["test"] == 28
    assert people["val"] > 2
    assert people["train"] + people["val"] == 84
    assert value(row_of(result.json, "smiling", "descriptor"), "auc").low > 0.9
