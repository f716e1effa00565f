"""``--protect`` and ``--threat`` on the toy chain: what leaks is reported as leaking, and what hides as hiding."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import normalize

from faceinv.attack.protected import ProtectedSystem
from faceinv.contracts import Framing, Leak, Protection, ProtectionSpec, Recovered, cosine_scores
from faceinv.data import write_image
from faceinv.scoring.protection import d_sys, unlinkability
from faceinv.testing.faces import FRAME, draw_faces

PLUGINS = [Path(__file__).with_name(name) for name in ("toy_people.py", "toy_protections.py")]
GRID = [
    "--plugin", PLUGINS[0], "--plugin", PLUGINS[1], "bench", "--encoder", "toy", "--critic", "toy.critic",
    "--generator", "toy-faces", "--dataset", "toy-people", "--limit", "12", "--per-person", "1", "--pairs", "300",
    "--steps", "2", "--losses", "id", "--metric", "id_sim_attacked", "--metric", "id_sim_critic",
    "--metric", "success",
]  # fmt: skip


def records(out: Path) -> dict[str, dict]:
    found = [json.loads(path.read_text()) for path in (out / "cells").glob("*.json")]
    return {record["config"]["protection"] or "none": record for record in found}


def test_a_protection_that_leaks_is_reported_as_leaking(run, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run(*GRID, "--protect", "none,leaky,opaque,biohash:bits=8", "--out", out)
    assert result.code == 0, result.err
    found = records(out)
    assert set(found) == {"none", "leaky", "opaque", "biohash"}
    assert "protection" not in found["none"]
    leaky, opaque, biohash = (found[name]["protection"] for name in ("leaky", "opaque", "biohash"))
    assert leaky["cosine"]["mean"] == pytest.approx(1, abs=1e-5)
    assert {row["success"]["mean"] for row in leaky["irreversibility"]} == {1}
    assert opaque["cosine"]["mean"] < 0.9 < leaky["cosine"]["mean"]
    # What hides the face hides the person from the system as well.
    assert leaky["utility"]["rank_1"]["mean"] == leaky["utility"]["plain_rank_1"]["mean"] > 0.9
    assert leaky["utility"]["rank_1_difference"]["mean"] == 0
    assert opaque["utility"]["rank_1"]["mean"] == 0
    assert (leaky["adaptive"], opaque["adaptive"]) == (True, False)
    assert "unlinkability" not in leaky
    assert biohash["unlinkability"]["keys"] == 10
    assert (biohash["bytes"], biohash["output"], biohash["options"]) == (1, "binary", {"bits": 8})
    # Reconstructions of what leaks whole are those of no protection, but for rounding.
    pixels = [record["metrics"]["id_sim_attacked"]["mean"] for record in (found["none"], found["leaky"])]
    assert pixels[0] == pytest.approx(pixels[1], abs=0.02)
    assert "opaque" in result.out
    assert "not attacked adaptively" in result.out
    page = (out / "report.html").read_text()
    assert "Which protections hold" in page
    assert "leaky:offset=0.0 gives back 100 % of the people" in page
    # What reads a run knows which cell is behind which protection.
    for command, text in (
        (("export", out, "--format", "csv", "--table", "protections"), "biohash:bits=8, key-known"),
        (("compare", out), "latent-adam biohash:bits=8, key-known"),
        (("compare", out, out, "--json"), "behind opaque, key-known"),
    ):
        assert text in run(*command).out
    again = run("--plugin", PLUGINS[0], "--plugin", PLUGINS[1], "rescore", out, "--out", tmp_path / "again")
    assert again.code == 0, again.err
    scored = records(tmp_path / "again")
    assert {name: record.get("protection") for name, record in scored.items()} == {
        name: record.get("protection") for name, record in found.items()
    }


class Folded(Protection):
    """Squares of sums of neighbours, with an attack that only guesses."""

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        return (descriptors - 0.3 * descriptors.roll(1, 1)).square()

    def recover(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        return Recovered(prior.mean(0).expand(len(leaks[0].templates), -1), "guessing")


@pytest.mark.parametrize(
    ("differentiable", "found"),
    [(True, "L-BFGS on the score, straight through the scheme"), (False, "CMA-ES on the score")],
)
def test_an_attack_that_fails_is_replaced_by_one_that_fits_every_scheme(differentiable: bool, found: str) -> None:
    spec = ProtectionSpec(
        name="folded", summary="s", licence="MIT", target="toy_protections:Folded", attack="guessing",
        differentiable=differentiable,
    )  # fmt: skip
    # Positive and negative numbers are alike behind the scheme, so that no linear map undoes it.
    faces = normalize(torch.randn(200, 8, generator=torch.Generator().manual_seed(0)).abs() + 0.2)
    system = ProtectedSystem(spec, Folded(), seed=0, threat="key-known", prior=lambda: faces[4:])
    recovered = system.recover([system.store(faces[:4], "abcd")], "abcd")
    cosines = (recovered.descriptors * faces[:4]).sum(1)
    assert set(recovered.tried) == {"guessing", "a linear map learnt from pairs", found}
    assert recovered.attack == max(recovered.tried, key=lambda name: recovered.tried[name]) != "guessing"
    assert cosines.mean() > recovered.tried["guessing"] + 0.01


def test_without_the_key_less_comes_back(run, cache: Path, tmp_path: Path) -> None:
    args = ("--protect", "biohash:bits=8", "--threat", "key-known,key-stolen-late,key-secret", "--method", "regression")
    result = run(*GRID, *args, "--out", tmp_path)
    assert result.code == 0, result.err
    found = [json.loads(path.read_text())["protection"] for path in (tmp_path / "cells").glob("*.json")]
    cosine = {block["threat"]: block["cosine"]["mean"] for block in found}
    assert cosine["key-secret"] < cosine["key-stolen-late"]
    assert cosine["key-secret"] < cosine["key-known"]


def test_a_protection_is_measured_if_no_metric_needs_the_attacked_encoder(run, cache: Path, tmp_path: Path) -> None:
    result = run(*GRID, "--protect", "biohash:bits=8", "--metric", "mse", "--method", "regression", "--out", tmp_path)
    assert result.code == 0, result.err
    (record,) = [json.loads(path.read_text()) for path in (tmp_path / "cells").glob("*.json")]
    assert record["protection"]["utility"]["rates"]


def test_templates_under_several_keys_and_renewed_noise_give_more_back(run, cache: Path, tmp_path: Path) -> None:
    args = ("--protect", "biohash:bits=8,noise:sigma=1,truncate:dims=4", "--issued", "1,4", "--method", "regression")
    result = run(*GRID, "--limit", "5", *args, "--out", tmp_path)
    assert result.code == 0, result.err
    found = [json.loads(path.read_text())["protection"] for path in (tmp_path / "cells").glob("*.json")]
    cosine = {(block["scheme"], block["issued"]): block["cosine"]["mean"] for block in found}
    # Templates without keys or noise are all the same.
    assert len(cosine) == len(found) == 5
    assert cosine["biohash", 4] > cosine["biohash", 1] + 0.05
    assert cosine["noise", 4] > cosine["noise", 1] + 0.02
    assert {block["budget"].get("templates") for block in found if block["scheme"] == "biohash"} == {1, 4}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("biohush", "Did you mean 'biohash'?"),
        ("biohash:bit=4", "Did you mean 'bits'?"),
        ("biohash:bits=9999", "bits must be 1 to"),
        ("biohash:bits=four", "bits must be a whole number"),
        ("polyprotect:overlap=5", "overlap must be below window"),
        ("polyprotect:window=9999", "window must be 2 to"),
        ("eager", "it should learn on first use"),
        ("biohash:bits=4:bits=5", "sets bits twice"),
        ("opaque:1", "has no options"),
    ],
)
def test_mistakes_are_told_before_anything_is_computed(run, cache: Path, tmp_path: Path, given: str, text: str) -> None:
    result = run(*GRID, "--protect", given, "--out", tmp_path / "run")
    assert result.code in (2, 5)
    assert text in result.err
    assert not (tmp_path / "run" / "cells").exists()


def test_an_unknown_threat_is_told(run, cache: Path, tmp_path: Path) -> None:
    result = run(*GRID, "--protect", "biohash", "--threat", "key-know", "--out", tmp_path / "run")
    assert (result.code, "Did you mean 'key-known'?" in result.err) == (2, True)


def test_templates_of_a_file(run, cache: Path, tmp_path: Path) -> None:
    given = np.random.default_rng(0).normal(size=(5, 24)).astype(np.float32)
    np.save(tmp_path / "d.npy", given)
    np.save(tmp_path / "bad.npy", np.where(np.arange(24) == 3, np.nan, given))
    command = ("protect", tmp_path / "d.npy", "--out", tmp_path / "t", "--with")
    assert run(*command, "biohash:bits=16", "--key", "7").code == 0
    bits = load_file(tmp_path / "t")["templates"]
    assert bits.shape == (5, 16)
    assert set(bits.unique().tolist()) == {0, 1}
    for args, text in (
        (("biohash:bits=16",), "needs a key"),
        (("noise", "--key", "1"), "has no key"),
        (("leace:smiling",), "learns the attribute 'smiling'"),
        (("none",), "protects nothing"),
    ):
        result = run(*command, *args)
        assert (result.code, text in result.err) == (2, True)
    result = run("protect", tmp_path / "bad.npy", "--with", "noise", "--out", tmp_path / "u.npy")
    assert (result.code, "5 of 5 descriptors are not finite" in result.err) == (3, True)


def test_templates_of_a_file_are_attacked_and_those_of_another_scheme_or_key_refused(
    run, cache: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    known, others = (rng.normal(size=(n, 12)).astype(np.float32) for n in (4, 300))
    np.save(tmp_path / "d.npy", known)
    np.save(tmp_path / "o.npy", others)
    np.save(tmp_path / "short.npy", others[:, :8])
    np.save(tmp_path / "more.npy", np.concatenate([known, known]))
    for name, source, *args in (
        ("a", "d", "random-projection:dims=8", "--key", "7"),
        ("b", "d", "random-projection:dims=8", "--key", "8"),
        ("more", "more", "random-projection:dims=8", "--key", "7"),
        ("q", "d", "quantise:bits=2", "--examples", tmp_path / "d.npy"),
    ):
        made = run("protect", tmp_path / f"{source}.npy", "--out", tmp_path / name, "--with", *args)
        assert made.code == 0, made.err

    def recover(*args: object) -> Any:
        return run("recover", *args, "--out", tmp_path / "r.npy")

    a, b, o = tmp_path / "a", tmp_path / "b", ("--examples", tmp_path / "o.npy")
    cosines = []
    for args in ((a, "--key", "7"), (a, b, "--key", "7", "--key", "8")):
        done = recover(*args, *o)
        assert done.code == 0, done.err
        found = torch.from_numpy(np.load(tmp_path / "r.npy"))
        cosines.append(float(torch.cosine_similarity(found, torch.from_numpy(known)).mean()))
    assert 0.6 < cosines[0] < 0.95
    assert cosines[1] > 0.999
    for args, code, text in (
        ((a, "--key", "9", *o), 3, "under another key than 9"),
        ((a, *o), 2, "--key NUMBER"),
        ((a, "--key", "7", "--key", "8", *o), 2, "1 files need 1 keys"),
        ((a, "--key", "7", "--with", "random-projection:dims=9", *o), 3, "not of random-projection:dims=9"),
        ((a, tmp_path / "q", "--key", "7", "--key", "7", *o), 3, "holds templates of quantise"),
        ((tmp_path / "q", *o), 3, "learned from other examples"),
        ((tmp_path / "q", "--key", "1", *o), 2, "has no key"),
        ((a, tmp_path / "more", "--key", "7", "--key", "7", *o), 3, "8 templates"),
        ((a, "--key", "7", "--examples", tmp_path / "short.npy"), 3, "the examples have 8"),
        ((tmp_path / "o.npy", *o), 2, "is an input"),
        ((tmp_path / "none", *o), 3, "no such file"),
    ):
        out = ("--out", tmp_path / "o.npy") if code == 2 and text == "is an input" else ("--out", tmp_path / "r.npy")
        refused = run("recover", *args, *out)
        assert (refused.code, text in refused.err.splitlines()[-1]) == (code, True), refused.err


def test_readers_learn_anew_on_templates(run, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    for index, face in enumerate(draw_faces(120, Framing("large", (96, 96), FRAME.points))):
        write_image(face, tmp_path / "faces" / f"{index:03d}.png")
    args = ("probe", "--encoder", "toy", "--dataset", f"folder:{tmp_path / 'faces'}", "--attributes", "brightness")
    done = run(
        "--plugin", PLUGINS[1], *args, "--no-image", "--recipe", "linear", "--out", tmp_path / "run", "--json",
        "--protect", "none,leaky,leace:brightness,polyprotect:overlap=4", "--threat", "key-known,key-secret",
    )  # fmt: skip
    assert done.code == 0, done.err
    score = {row["encoder"]: row["metrics"]["r2"]["mean"] for row in done.json if row["source"] == "descriptor"}
    plain, leaky = score["toy.attacked"], score["toy.attacked behind leaky:offset=0.0"]
    assert plain > 0.5
    assert leaky == pytest.approx(plain, abs=0.15)
    assert score["toy.attacked behind leace:attribute=brightness"] < 0.1
    # Without the key, readers of other keys' templates read nothing; schemes without keys know one threat alone.
    assert score["toy.attacked behind polyprotect:overlap=4:window=5:largest=50"] > 0.2
    assert score["toy.attacked behind polyprotect:overlap=4:window=5:largest=50, key-secret"] < 0.1
    assert len(score) == 5
    for given, text in (
        (("--protect", "leace:smile"), "Unknown attribute of the protection 'smile'"),
        (("--protect", "biohash", "--threat", "key-secrets"), "Did you mean 'key-secret'?"),
    ):
        refused = run(*args, "--no-image", *given, "--out", tmp_path / "run")
        assert (refused.code, text in refused.err) == (2, True)


def test_a_protection_learns_an_annotation_from_photographs_of_other_people(run, cache: Path, tmp_path: Path) -> None:
    args = [{"toy-people": "toy-crowd"}.get(str(item), item) for item in (*GRID, "--method", "regression")]
    done = run(*args, "--protect", "none,leace:bright", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    block = records(tmp_path / "run")["leace"]["protection"]
    assert (block["options"], block["cosine"]["mean"] > 0.8) == ({"attribute": "bright"}, True)
    for given, code, text in (("bride", 2, "Did you mean 'bright'?"), ("human", 3, "'human' is the same for all")):
        refused = run(*args, "--protect", f"leace:{given}", "--out", tmp_path / given)
        assert (refused.code, text in refused.err) == (code, True)


def test_the_interval_of_d_sys_is_around_it() -> None:
    rng = torch.Generator().manual_seed(0)
    faces = normalize(torch.randn(80, 8, generator=rng))
    found = unlinkability(
        lambda given, key: given.roll(key, 1), lambda given, key: given.roll(key, 1), cosine_scores, faces,
        [row // 2 for row in range(80)], range(10),
    )  # fmt: skip
    assert found is not None
    d = found["d_sys"]
    assert 0 <= d["low"] < d["mean"] < d["high"] <= 1


def test_d_sys_is_one_for_apart_and_zero_for_equal_scores() -> None:
    rng = np.random.default_rng(0)
    assert d_sys(rng.uniform(0.6, 1, 500), rng.uniform(0, 0.4, 500)) == 1
    same = rng.uniform(0, 1, 2000)
    assert d_sys(same, same) == 0
    # By hand: half of the mated scores in a bin with twice the density of the others, the rest where they are rarer.
    assert d_sys(np.array([0.1, 0.1, 0.9, 0.1]), np.array([0.1, 0.1, 0.9, 0.9]), bins=2) == pytest.approx(0.75 * 0.2)
