"""What leaks: parts, codes and scores of a descriptor, pairs in place of the encoder, several descriptors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from faceinv.attack import space_map
from faceinv.attack.leaks import Answers, completed_view, from_scores, spread
from faceinv.attack.space_map import fitted_map
from faceinv.attack.templates import ObjectiveOfAll, fused
from faceinv.attack.views import View
from faceinv.contracts.leaks import FUSIONS, Leak, parse_leak
from faceinv.contracts.methods import Candidate
from faceinv.errors import InputError, PluginError, UsageError

D = 16


@pytest.fixture
def samples() -> Tensor:
    """Descriptors that vary mostly in a few directions, as real ones do."""
    rng = torch.Generator().manual_seed(0)
    return torch.randn(400, D, generator=rng) * torch.linspace(2, 0.5, D) + 0.5


@pytest.fixture
def targets() -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(20, D, generator=rng) * torch.linspace(2, 0.5, D) + 0.5


def cosine(leak: Leak, targets: Tensor, samples: Tensor) -> float:
    if leak.kind == "scores":
        found = from_scores(Answers(targets, leak), leak.n, samples)
    else:
        view = View(leak, samples)
        found = completed_view(view, Answers(targets, leak, view=view).part(), samples)
    return float(nn.functional.cosine_similarity(found, targets).mean())


def test_scores_give_the_descriptor_from_its_length_on(targets: Tensor, samples: Tensor) -> None:
    few, half, enough = (cosine(Leak("scores", n), targets, samples) for n in (2, 8, D))
    assert few < half < 0.995
    assert enough > 0.9999


@pytest.mark.parametrize("which", ["first", "random", "principal"])
def test_more_dims_tell_more_and_all_tell_all(which: str, targets: Tensor, samples: Tensor) -> None:
    few, more, every = (cosine(Leak("dims", n, which), targets, samples) for n in (2, 8, D))
    assert few < more < every
    assert every > 0.9999


def test_more_bits_tell_more(targets: Tensor, samples: Tensor) -> None:
    one, three, eight = (cosine(Leak("bits", n), targets, samples) for n in (1, 3, 8))
    assert 0.6 < one < three < eight
    assert eight > 0.99


class Greedy:
    """An attack that asks a system for everything, one call after another."""

    def __init__(self, samples: Tensor) -> None:
        self.samples, self.got = samples, 0

    def run(self, answers: Answers) -> None:
        for _ in range(10):
            answers.scores(self.samples[:3])
            self.got += 3


def test_an_attack_gets_no_more_than_its_leak(targets: Tensor, samples: Tensor) -> None:
    answers, greedy = Answers(targets, Leak("scores", 7)), Greedy(samples)
    with pytest.raises(PluginError, match="asks for 9 answers, and the leak is 'scores:7'"):
        greedy.run(answers)
    assert (greedy.got, answers.asked.tolist()) == (6, [6] * 20)
    with pytest.raises(PluginError, match="leaks none"):
        answers.part()
    with pytest.raises(PluginError, match="leaks none"):
        answers.decisions(samples[:1], torch.zeros(1, dtype=torch.long))
    leak = Leak("dims", 3, "first")
    part = Answers(targets, leak, view=View(leak, samples))
    assert part.part().shape == (20, 3)
    with pytest.raises(PluginError, match="asks for 6 answers"):
        part.part()
    with pytest.raises(PluginError, match="leaks none"):
        part.scores(samples[:1])


def test_images_for_scores_are_spread(samples: Tensor) -> None:
    rows = spread(samples.double(), 30)
    assert len(set(rows.tolist())) == 30
    chosen, first = (nn.functional.normalize(samples[rows], dim=1), nn.functional.normalize(samples[:30], dim=1))
    # Well chosen rows are better conditioned than the first ones.
    smallest = [float(torch.linalg.svdvals(part[:D] - samples.mean(0))[-1]) for part in (chosen, first)]
    assert smallest[0] > smallest[1]


def test_faint_axes_are_found_where_the_leak_tells_them_and_stay_likely_where_not() -> None:
    rng = torch.Generator().manual_seed(1)
    spread_of = torch.cat([torch.ones(8), torch.logspace(-2, -4, 8)]).double()
    turn = torch.linalg.qr(torch.randn(D, D, generator=rng).double())[0]
    known, hidden = ((torch.randn(n, D, generator=rng) * spread_of) @ turn.T + turn[:, 0] * 3 for n in (2000, 50))
    true = nn.functional.normalize(hidden)
    axes = turn[:, 8:]
    usual = (nn.functional.normalize(known) @ axes).std(0)

    def error(found: Tensor) -> float:
        return float((((found - true) @ axes) / usual).square().mean())

    every = from_scores(Answers(hidden, Leak("scores", D)), D, known)
    assert error(every) < 0.6
    view = View(Leak("dims", 12, "first"), known)
    part = completed_view(view, Answers(hidden, view.leak, view=view).part(), known)
    assert error(part) < 1.5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dims:0", "between 1 and 16"),
        ("dims:17", "between 1 and 16 of the encoder's 16 numbers"),
        ("dims:4:last", "is not written as dims:N"),
        ("score:4", "Did you mean 'scores'"),
        ("scores", "is not written as scores:N"),
        ("bits:two", "is not written as bits:N"),
        ("descriptor:3", "is not written as descriptor"),
    ],
)
def test_leaks_that_are_not_there(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_leak(text, D)
    assert parse_leak("descriptor", D) is None
    assert str(parse_leak("dims:4", D)) == "dims:4:first"


def test_more_scores_than_images_are_refused(targets: Tensor, samples: Tensor) -> None:
    with pytest.raises(InputError, match="has only 5 images to show"):
        from_scores(Answers(targets, Leak("scores", 9)), 9, samples[:5])


def test_a_map_is_better_with_more_pairs() -> None:
    rng = torch.Generator().manual_seed(2)
    hidden = torch.randn(1200, D, generator=rng)
    other = torch.tanh(hidden @ torch.randn(D, 24, generator=rng)) + 0.3 * torch.randn(1200, 24, generator=rng)
    found = [
        float(nn.functional.cosine_similarity(fitted_map(hidden[:n], other[:n])(hidden[900:]), other[900:]).mean())
        for n in (20, 100, 900)
    ]
    assert found[0] < found[1] < found[2]
    assert found[2] > 0.8


def test_a_network_is_the_map_only_where_it_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space_map, "_FEWEST_FOR_NETWORK", 500)
    monkeypatch.setattr(space_map, "_WIDTH", 64)
    rng = torch.Generator().manual_seed(2)
    hidden = torch.randn(700, 6, generator=rng)
    linear = hidden @ torch.randn(6, 12, generator=rng)
    bent = fitted_map(hidden[:600], linear[:600].abs())
    assert bent.kind == "network"
    reached = nn.functional.cosine_similarity(bent(hidden[600:]), linear[600:].abs()).mean()
    assert bent.held_out == pytest.approx(float(reached), abs=0.05)
    few = fitted_map(hidden[:400], linear[:400].abs())
    assert (few.kind, few.held_out < bent.held_out - 0.02) == ("ridge", True)


@pytest.mark.parametrize("how", FUSIONS)
def test_several_templates_are_nearer_to_the_person_than_one(how: str) -> None:
    rng = torch.Generator().manual_seed(3)
    person = torch.randn(30, 1, D, generator=rng)
    templates = person + 0.8 * torch.randn(30, 8, D, generator=rng)
    near = [
        float(nn.functional.cosine_similarity(fused(templates[:, :k], how), person[:, 0]).mean()) for k in (1, 4, 8)
    ]
    assert near[0] < near[1] < near[2]
    assert torch.equal(fused(templates[:, :1], how), templates[:, 0])


def test_an_odd_one_out_is_dropped_and_moves_the_robust_mean_less() -> None:
    rng = torch.Generator().manual_seed(4)
    person = torch.randn(30, 1, D, generator=rng)
    templates = torch.cat([person + 0.3 * torch.randn(30, 4, D, generator=rng), -person], 1)
    mean, robust, drop = (
        float(nn.functional.cosine_similarity(fused(templates, how), person[:, 0]).mean())
        for how in ("mean", "robust", "drop")
    )
    assert mean < robust
    assert mean < drop


class Squared:
    """An objective: squared distance to a descriptor, and its first number."""

    def prepare(self, descriptors: Tensor) -> Tensor:
        return descriptors

    def __call__(self, candidate: Candidate, prepared: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        apart = (candidate.descriptors - prepared).square()
        return apart.sum(1), {"first": apart[:, 0]}


def test_the_sum_of_objectives_sees_every_template() -> None:
    rng = torch.Generator().manual_seed(5)
    templates = torch.randn(4, 3, D, generator=rng)
    given = fused(templates, "sum")
    objective = ObjectiveOfAll(Squared(), given, templates)
    rows = torch.tensor([2, 0, 0])
    candidate = Candidate(None, torch.zeros(3, 3, 2, 2), torch.randn(3, D, generator=rng))
    total, terms = objective(candidate, objective.prepare(given[rows]))
    apart = (candidate.descriptors[:, None] - templates[rows]).square()
    assert torch.allclose(total, apart.sum(2).mean(1))
    assert torch.allclose(terms["first"], apart[:, :, 0].mean(1))
    with pytest.raises(PluginError, match="other descriptors than the task's"):
        objective.prepare(templates[:, 0])


SMALL = ("--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--losses", "id", "--steps", "4",
         "--pairs", "200", "--metric", "id_sim_critic", "--metric", "success")  # fmt: skip
PEOPLE = ("--plugin", str(Path(__file__).with_name("toy_people.py")))


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((folder / "cells").glob("*.json"))]


def test_leaks_are_axes_of_the_grid(run: Any, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run("bench", *SMALL, "--dataset", "toy-targets", "--limit", "6", "--out", out,
                 "--leak", "descriptor,scores:3,scores:12,bits:4")  # fmt: skip
    assert result.code == 0, result.err
    by = {record["config"]["leak"]: record for record in records(out)}
    assert set(by) == {"", "scores:3", "scores:12", "bits:4"}
    assert "leak" not in by[""] or by[""]["leak"] is None
    found = {name: record["leak"] for name, record in by.items() if name}
    assert found["scores:3"]["cosine"]["mean"] < found["scores:12"]["cosine"]["mean"]
    assert found["scores:12"]["answers"] == 12
    assert found["bits:4"]["leaked"] == found["bits:4"]["steered_by"] == "toy.attacked"
    assert found["bits:4"]["judged_by"] == ["toy.critic"]
    assert "What leaked of toy.attacked" in result.out
    assert "What does an attacker need?" in (out / "report.html").read_text()
    again = run("bench", *SMALL, "--dataset", "toy-targets", "--limit", "6", "--out", out, "--leak", "scores:3")
    assert again.code == 0
    assert len(records(out)) == 4


def test_the_table_of_leaks_compares_with_whole_descriptors(run: Any, cache: Path, tmp_path: Path) -> None:
    out, people = tmp_path / "run", ("--dataset", "toy-people", "--limit", "12", "--per-person", "1")
    result = run(
        *PEOPLE, "bench", *SMALL, *people, "--min-photographs", "2", "--leak", "descriptor,dims:2", "--out", out
    )
    assert result.code == 0, result.err
    accepted = {
        json.loads(file.read_text())["config"]["leak"]: pq.read_table(file.with_suffix(".parquet"))
        for file in (out / "cells").glob("*.json")
    }
    name = "success_type2@0.01:attacked"
    whole, part = (np.mean(accepted[leak][name].to_pylist()) for leak in ("", "dims:2:first"))
    table = run("export", out, "--table", "leaks", "--format", "json").json[0]
    change = {row["name"]: row["cells"][table["columns"].index("change by it")]["value"] for row in table["rows"]}
    assert change["whole descriptor"] is None
    assert change["dims:2:first"] == pytest.approx(100 * (part - whole))
    assert part < whole


def test_pairs_stand_for_the_encoder(run: Any, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    known = ("--knowledge", "pairs:20,pairs:300", "--surrogate", "toy.critic", "--critic", "toy.critic")
    result = run("bench", *SMALL, *known, "--dataset", "toy-targets", "--limit", "6", "--out", out)
    assert result.code == 0, result.err
    few, many = sorted(records(out), key=lambda record: record["config"]["knowledge"])
    assert few["leak"]["steered_by"] == many["leak"]["steered_by"] == "toy.critic"
    assert few["leak"]["leaked"] == "toy.attacked"
    assert few["leak"]["cosine"]["mean"] < many["leak"]["cosine"]["mean"]


def test_several_descriptors_of_a_person(run: Any, cache: Path, tmp_path: Path) -> None:
    out, people = tmp_path / "run", ("--dataset", "toy-people", "--limit", "1", "--min-photographs", "3")
    result = run(*PEOPLE, "bench", *SMALL, *people, "--leaked-per-person", "1,2", "--fusion", "mean,sum", "--out", out)
    assert result.code == 0, result.err
    found = {record["config"]["fusion"]: record for record in records(out)}
    one, two, summed = (found[how] for how in ("", "mean", "sum"))
    assert summed["leak"]["cosine"] == two["leak"]["cosine"]
    assert summed["trajectory"] != two["trajectory"]
    assert one["targets"] == two["targets"]
    assert two["config"]["fusion"] == "mean"
    assert two["leak"]["cosine"]["mean"] < 1
    # The person's photographs are the target, the one that reconstructions are compared with, and the one that leaked.
    compared = [row["photographs"] for record in (one, two) for row in record["success"] if row["type"] == "II"]
    assert compared
    further = next((out / "targets").glob("*-further-1"))
    assert json.loads((further / "index.json").read_text())["ids"] == ["person 00/2"]


def test_one_face_of_several_descriptors(run: Any, cache: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    person = rng.standard_normal(12).astype(np.float32)
    for day in ("monday", "friday"):
        np.save(tmp_path / f"{day}.npy", person + 0.1 * rng.standard_normal(12).astype(np.float32))
    chain = ("--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--losses", "id", "--steps", "4",
             "--pairs", "200", "--out", tmp_path / "out")  # fmt: skip
    both = [tmp_path / f"{day}.npy" for day in ("monday", "friday")]
    result = run("invert", *both, "--one-person", "--fusion", "drop", *chain)
    assert result.code == 0, result.err
    assert {file.name for file in (tmp_path / "out").glob("*.png")} == {"one-person.png", "one-person-start.png"}
    summed = run("invert", *both, "--one-person", "--fusion", "sum", *chain)
    assert summed.code == 0, summed.err
    single = run("invert", both[0], "--one-person", *chain)
    assert (single.code, "needs several descriptors" in single.err) == (2, True)
    picture = run("invert", *both, tmp_path / "face.jpg", "--one-person", *chain)
    assert (picture.code, "takes descriptors" in picture.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--leak", "dims:13"), "between 1 and 12 of the encoder's 12 numbers"),
        (("--knowledge", "pairs:0"), "at least 10 pairs"),
        (("--knowledge", "pair:100"), "Did you mean 'pairs'"),
        (("--knowledge", "pairs:100", "--surrogate", "toy"), "which the attacker cannot run"),
        (("--surrogate", "toy.critic"), "add --knowledge pairs:N"),
        (("--leaked-per-person", "0"), "greater than or equal to 1"),
        (("--leaked-per-person", "4"), "--min-photographs 5"),
        (("--leaked-per-person", "2", "--min-photographs", "3", "--fusion", "means"), "Did you mean 'mean'"),
    ],
)
def test_mistakes(run: Any, options: tuple[str, ...], told: str) -> None:
    result = run("bench", *SMALL, "--dataset", "toy-targets", *options, "--dry-run")
    assert result.code == 2
    assert told in result.err


@pytest.mark.parametrize(
    ("groups", "told"),
    [("sex", "No annotations of toy-targets, so there is no group 'sex'"), ("predicted:toy-brightnes", "Did you mean")],
)
def test_unknown_groups_stop_a_bench_before_it_computes(run: Any, tmp_path: Path, groups: str, told: str) -> None:
    out = tmp_path / "run"
    result = run("bench", *SMALL, "--dataset", "toy-targets", "--groups", groups, "--out", out)
    assert (result.code, told in result.err) == (2, True), result.err
    assert not list(out.rglob("*.json"))


def test_people_with_too_few_photographs(run: Any, cache: Path, tmp_path: Path) -> None:
    people = ("--dataset", "toy-people", "--limit", "2", "--min-photographs", "3", "--out", tmp_path / "run")
    result = run(*PEOPLE, "bench", *SMALL, *people, "--leaked-per-person", "2", "--per-person", "0")
    assert result.code == 3
    assert "further photographs of person 00 can be used" in result.err
