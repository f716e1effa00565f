"""Configs: merged, validated completely, resolved to cells with ids made from their content."""

from __future__ import annotations

import os
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
    assert (config.steps, config.limit, config.ablate, config.pairs) == ([7], 5, False, 6500)


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
        ("limit: 1\nlimit: 2\n", r"c\.yaml:2: the key 'limit' is there twice"),
        ("limit: 2020-13-45\n", r"c\.yaml:1: limit: .*integer"),
        ("limit: !!int x\n", r"c\.yaml:1: 'x' is not allowed: invalid literal"),
        ("limit: !!bool x\n", r"c\.yaml:1: 'x' is not allowed: values are text, numbers"),
        ("limit: !!timestamp x\n", r"c\.yaml:1: 'x' is not allowed: values are text, numbers"),
        ("limit: !!python/object/apply:os.system [echo]\n", r"c\.yaml:1: the tag .* is not allowed"),
        (f"limit: {'9' * 5000}\n", r"c\.yaml:1: '9+…9+' is not allowed: text is at most 4,096 characters"),
        (f"limit: {'9' * 4000}\n", r"c\.yaml:1: limit: .*less than or equal to 1000000000; got 9+…9+\.$"),
        (f"limit: {'{a: ' * 3000}\n", r"c\.yaml: values are nested more than 16 deep"),
        (f"limit: {'[' * 20}{']' * 20}\n", r"c\.yaml:1: values are nested more than 16 deep"),
        ("method_options: &a {latent-adam: *a}\n", r"c\.yaml:1: values are nested more than 16 deep"),
        (f"a: &a [{'x,' * 999}]\nb: &b [{'*a,' * 999}]\n", r"c\.yaml:1: more than 50,000 values"),
        ("#" * 200_000, r"c\.yaml: a config has at most 131,072 bytes"),
        ("{[a]: 1}\n", r"c\.yaml:1: a key must be text"),
        ('dataset: ["folder:a\\0b"]\n', r"folder:a\\x00b' is not allowed"),
        (f"out: {'x' * 4000}\n", r"c\.yaml:1: out: .*No file can have this name: File name too long"),
        (f"seed: {list(range(500))}\nsteps: {list(range(500))}\n", r"a grid of 250,000 cells; at most 10,000"),
        ("loss_weights: {id: .nan}\n", r"c\.yaml:1: loss_weights\.0\.id: .*finite"),
        ("loss_weights: {id: .inf}\n", r"c\.yaml:1: loss_weights\.0\.id: .*finite"),
        ("loss_weights: {id: -1}\n", r"c\.yaml:1: loss_weights\.0\.id: .*greater than or equal to 0"),
        ("dataset_options: {synthetic: {counts: 3}}\n", r"The data set 'synthetic' has no .*Did you mean 'count'"),
        ("dataset_options: {synthetic: {count: three}}\n", r"count must be a whole number, got 'three'"),
        (
            "method_options: {latent-adam: {lr: 0.01}}\n",
            r"c\.yaml:1: method_options: .* no option 'lr'\. Allowed",
        ),
        ("method_options: {latent-adam: {learning_rate: fast}}\n", r"learning_rate must be a number, got 'fast'"),
        ("method_options: {latent-adam: {learning_rate: [1, 2]}}\n", r"learning_rate must be a number, got \[1, 2\]"),
        ("method_options: {latent-adam: {learning_rate: .inf}}\n", r"learning_rate must be finite and at least 0"),
        ("method_options: {latent-adam: {learning_rate: -1}}\n", r"learning_rate must be finite and at least 0"),
        ("method_options: {latent-adam: {patience: 2020-01-01}}\n", r"patience must be a whole number"),
        ("method_options: {cma: {start: middle}}\n", r"refuses these options: start must be 'regressor' or 'prior'"),
    ],
)
def test_errors_name_file_line_key_and_allowed_values(host: Host, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):  # noqa: PT012  (either step may refuse)
        config, source = load_config(path, {})
        cells(config, host, source)


@pytest.mark.parametrize(
    ("text", "number"), [("1e-2", 0.01), ("1E-2", 0.01), ("+.5", 0.5), ("010", 10), ("1_0", None), ("1:30", None)]
)
def test_numbers_are_those_of_yaml_1_2(tmp_path: Path, text: str, number: float | None) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"method_options: {{latent-adam: {{learning_rate: {text}}}}}\n")
    config, _ = load_config(path, {})
    assert config.method_options == [{"latent-adam": {"learning_rate": text if number is None else number}}]


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "c.yaml")
    with pytest.raises(UsageError, match=r"c\.yaml cannot be read: it is a pipe"):
        load_config(tmp_path / "c.yaml", {})


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


def test_a_config_that_ships_is_taken_by_its_name(run, cache: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = yaml.safe_load(run("config", "clean-licences").out)
    assert (shipped["encoder"], shipped["critic"], shipped["generator"]) == (["dlib"], ["sface"], ["dcgan"])
    misspelt = run("config", "clean-license")
    assert misspelt.code == 2
    assert "Did you mean 'clean-licences'?" in misspelt.err
    (tmp_path / "clean-licences").write_text("encoder: arcface\n")
    assert yaml.safe_load(run("config", "clean-licences").out)["encoder"] == ["arcface"]


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


#: Configs of one run; those of several commands have tests of their own (cli/test_suite.py).
SUITES = sorted(
    path
    for path in (Path(__file__).parents[1] / "benchmarks" / "suites").glob("*.yaml")
    if "variables" not in yaml.safe_load(path.read_text())
)


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_every_named_benchmark_is_valid(suite: Path) -> None:
    config, source = load_config(suite, {})
    assert cells(config, Host(), source)
