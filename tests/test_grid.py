"""Configs: merged, validated completely, resolved to cells with ids made from their content."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from faceinv.bench.config import load_config
from faceinv.bench.grid import cells
from faceinv.bench.naming import cell_id
from faceinv.errors import UsageError
from faceinv.plugins import Host

TOY = {
    "encoder": "toy", "critic": "toy.critic", "generator": "toy-faces", "dataset": "toy-targets",
    "losses": "id,brightness", "metrics": ["mse"],
}  # fmt: skip


def grid(host: Host, **changes: object) -> list:
    config, source = load_config(None, TOY | changes)
    return cells(config, host, source)


def test_command_line_over_file_over_defaults(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("steps: 7\nlimit: 3\nablate: true\n")
    config, _ = load_config(path, {"limit": 5, "ablate": False})
    assert (config.steps, config.limit, config.ablate, config.pairs) == ([7], 5, False, 20000)


def test_names_are_resolved_and_the_grid_is_the_product(host: Host) -> None:
    made = grid(host, seed=[0, 1], objective=["paper", "balanced"])
    assert len(made) == 4
    assert {cell.encoder for cell in made} == {"toy.attacked"}
    assert len({cell_id(cell) for cell in made}) == 4


def test_ablate_adds_the_prefixes(host: Host) -> None:
    made = grid(host, losses="id,brightness,hist", ablate=True)
    assert [cell.losses for cell in made] == [("id",), ("id", "brightness"), ("id", "brightness", "hist")]


def test_aliases_of_one_cell_give_one_cell(host: Host) -> None:
    assert len(grid(host, encoder=["toy", "toy.attacked"])) == 1


def test_the_first_alternative_that_is_not_attacked_is_the_critic(host: Host) -> None:
    critics = "toy.critic|toy.attacked"
    assert [cell.critics for cell in grid(host, encoder="toy.attacked", critic=critics)] == [("toy.critic",)]
    assert [cell.critics for cell in grid(host, encoder="toy.critic", critic=critics)] == [("toy.attacked",)]


@pytest.mark.parametrize("given", ["toy.attacked,toy.critic", ["toy", "toy.critic"], "toy.critic, toy.attacked,toy"])
def test_all_listed_critics_score_and_unattacked_ones_come_first(host: Host, given: str | list[str]) -> None:
    (cell,) = grid(host, critic=given)
    assert cell.critics == ("toy.critic", "toy.attacked")
    assert cell.roles == {"attacked": "toy.attacked", "critic": "toy.critic", "critic:toy.attacked": "toy.attacked"}
    assert "'toy.attacked' was attacked and also scores its own inversion" in cell.warnings[0]
    assert grid(host, critic="toy.critic")[0].warnings == ()


def test_the_id_is_the_content(host: Host) -> None:
    (cell,) = grid(host)

    def other(**changes: object) -> str:
        return cell_id(grid(host, **changes)[0])

    assert cell_id(cell) == other(recognition_limit=7)
    assert cell_id(cell) != other(recognition="toy-targets")
    assert cell_id(cell) != other(critic="toy.critic,toy")
    assert cell_id(cell, {"w": "1"}) == cell_id(grid(host)[0], {"w": "1"})
    assert cell_id(cell, {"w": "1"}) != cell_id(cell, {"w": "2"})
    assert cell_id(cell, code={"method": "1"}) != cell_id(cell, code={"method": "2"})
    assert cell_id(cell) != other(steps=99)
    # Where it is computed is not part of a cell.
    assert cell_id(cell) == other(device="cuda", batch_size=3, out="elsewhere")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz: 3\n", r"c\.yaml:1: unknown key 'stepz'\. Did you mean 'steps'\? Allowed: ablate, "),
        ("limit: 4\nsteps: many\n", r"c\.yaml:2: steps\.0: .*integer.*got 'many'"),
        ("limit: 0\n", r"c\.yaml:1: limit: .*greater than or equal to 1"),
        ("probes: best\n", r"c\.yaml:1: probes: .*'tuned' or 'paper'"),
        ("losses: id\nencoder: [arcfase]\n", r"c\.yaml:2: encoder: Unknown encoder 'arcfase'\. Did you mean 'arcface"),
        ("losses: 'id,lmm'\n", r"c\.yaml:1: losses: Unknown loss 'lmm'\. Did you mean 'lm'"),
        ("losses: 'id,id'\n", r"losses: 'id,id' names 'id' twice"),
        ("losses: ','\n", r"losses: ',' names no loss"),
        ("space: w+\n", r"space: the generator .* has no 'w\+'\. Allowed: z"),
        ("dataset: folder\n", r"dataset: 'folder' needs a path: folder:PATH"),
        ("dataset: 'synthetic:x'\n", r"dataset: 'synthetic' takes no path"),
        ("critic: [toy.critic, facent]\n", r"c\.yaml:1: critic: Unknown encoder 'facent'\. Did you mean 'facenet"),
        ("critic: 'toy.critic,'\n", r"c\.yaml:1: critic: 'toy\.critic,' has a comma without an encoder after it"),
        ("recognition: folder\n", r"c\.yaml:1: recognition: 'folder' needs a path: folder:PATH"),
        ("recognition: target\n", r"recognition: Unknown dataset 'target'"),
        ("objective: fair\n", r"objective: Unknown objective preset 'fair'"),
        ("method_options: {latent-adamm: {}}\n", r"method_options: Unknown method"),
        ("weights: {nothing: f.pt}\n", r"weights: Unknown encoder 'nothing'"),
        ("- a\n- b\n", r"c\.yaml:1: a config must be a mapping of keys to values, got a list"),
        ("a: [1\n", r"c\.yaml:2: not valid YAML"),
    ],
)
def test_errors_name_file_line_key_and_allowed_values(host: Host, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):  # noqa: PT012  (either step may refuse)
        config, source = load_config(path, {})
        cells(config, host, source)


def test_a_missing_file_error_names_the_command_that_creates_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="faceinv config >"):
        load_config(tmp_path / "none.yaml", {})


# Drawing values takes seconds on a busy machine.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
def test_any_value_is_accepted_or_refused_in_one_line(value: object) -> None:
    for key in ("steps", "encoder", "loss_weights", "ablate", "weights"):
        try:
            load_config(None, {key: value})
        except UsageError as error:
            message = str(error)
            assert "\n" not in message


def test_the_output_of_config_is_a_config(run, cache: Path, tmp_path: Path) -> None:
    printed = run("config", "--steps", "3")
    assert printed.code == 0
    path = tmp_path / "again.yaml"
    path.write_text(printed.out)
    assert yaml.safe_load(run("config", path).out) == yaml.safe_load(printed.out)


def test_options_make_a_grid_and_other_methods_appear_once(host: Host) -> None:
    made = grid(host, method=["latent-adam", "regression"], method_options=[{}, {"latent-adam": {"patience": 0}}])
    assert [(cell.method, dict(cell.method_options)) for cell in made] == [
        ("latent-adam", {}),
        ("latent-adam", {"patience": 0}),
        ("regression", {}),
    ]


def test_loss_weights_make_a_grid_and_unweighted_losses_appear_once(host: Host) -> None:
    made = grid(host, losses=["id", "id,brightness"], loss_weights=[{"brightness": 0.1}, {"brightness": 1.0}])
    assert [dict(cell.loss_weights) for cell in made] == [{}, {"brightness": 0.1}, {"brightness": 1.0}]


SUITES = sorted((Path(__file__).parents[1] / "benchmarks" / "suites").glob("*.yaml"))


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_every_named_benchmark_is_valid(suite: Path) -> None:
    config, source = load_config(suite, {})
    assert cells(config, Host(), source)
