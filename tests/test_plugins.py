"""The host: loading plugins, and reporting broken ones with their distribution."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from faceinv import hookimpl
from faceinv.contracts import EncoderSpec, Framing, ProbeSpec
from faceinv.errors import PluginError, UnknownNameError, UsageError
from faceinv.plugins import Host, hookspecs
from faceinv.plugins.host import HOOK_KINDS
from faceinv.plugins.registry import load_target

FRAMING = Framing("f", (8, 8), ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.4, 0.8), (0.6, 0.8)))


def encoder(name: str, **more: object) -> EncoderSpec:
    values = {"summary": "s", "target": "json:loads", "licence": "MIT", "dim": 4, "framing": FRAMING}
    return EncoderSpec(name=name, **(values | more))  # type: ignore[arg-type]


def plugin(*specs: object, hook: str = "faceinv_encoders") -> SimpleNamespace:
    def implementation() -> list[object]:
        return list(specs)

    implementation.__name__ = hook
    return SimpleNamespace(**{hook: hookimpl(implementation)})


@pytest.fixture
def bare() -> Host:
    return Host(entry_points=False)


def test_every_hook_is_known_and_documented() -> None:
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("faceinv_")}
    assert set(hooks) == set(HOOK_KINDS) | {"faceinv_commands", "faceinv_trained"}
    for hook in hooks.values():
        assert hook.__doc__
        assert "return" in hook.__annotations__


def test_a_bare_name_means_its_default_tag(bare: Host) -> None:
    bare.register(plugin(encoder("net.small"), encoder("net.large", default=True)), "p", "dist 1")
    assert bare.spec("encoder", "net").name == "net.large"
    assert bare.spec("encoder", "net.small").name == "net.small"
    assert bare.owner("encoder", "net") == "dist 1"


def test_an_unknown_name_suggests_the_closest(bare: Host) -> None:
    bare.register(plugin(encoder("net.large", default=True)), "p", "dist 1")
    with pytest.raises(UnknownNameError, match=r"Unknown encoder 'nett'\. Did you mean 'net\.large'\? Available: net"):
        bare.spec("encoder", "nett")


def test_a_bundled_name_says_which_distribution_to_install(bare: Host) -> None:
    with pytest.raises(UnknownNameError, match="pip install faceinv-plugins"):
        bare.spec("encoder", "arcface")


def test_a_clash_names_both_and_the_rest_works(bare: Host) -> None:
    bare.register(plugin(encoder("twin"), encoder("one")), "a", "first 1.0")
    bare.register(plugin(encoder("twin"), encoder("two")), "b", "second 2.0")
    assert [str(p) for p in bare.problems] == [
        "plugin 'b' (second 2.0): the encoder 'twin' is declared by both first 1.0 and second 2.0"
    ]
    with pytest.raises(PluginError, match=r"first 1\.0 and second 2\.0; leave one out"):
        bare.spec("encoder", "twin")
    assert [spec.name for spec in bare.specs("encoder")] == ["one", "two"]


def test_a_misspelt_hook_is_reported(bare: Host) -> None:
    bare.register(plugin(encoder("x"), hook="faceinv_encoder"), "p", "dist 1")
    assert "unknown hook 'faceinv_encoder'. Did you mean 'faceinv_encoders'?" in str(bare.problems[0])


def test_a_plugin_with_a_wrong_hook_leaves_no_trace(bare: Host) -> None:
    bare.register(plugin(encoder("x"), hook="faceinv_encoder"), "p", "dist 1")
    assert not bare.manager.has_plugin("p")
    bare.register(plugin(encoder("x")), "p", "dist 2")
    assert len(bare.problems) == 1
    assert bare.owner("encoder", "x") == "dist 2"


def test_a_plugin_is_registered_once(bare: Host) -> None:
    one = plugin(encoder("one"))
    bare.register(one, "p", "dist 1")
    bare.register(plugin(encoder("two")), "p", "dist 2")
    bare.register(one, "q", "dist 3")
    assert [str(problem) for problem in bare.problems] == [
        "plugin 'p' (dist 2): already registered as 'p' (dist 1)",
        "plugin 'q' (dist 3): already registered as 'p' (dist 1)",
    ]
    assert [spec.name for spec in bare.specs("encoder")] == ["one"]


def test_an_unmarked_hook_is_reported(bare: Host) -> None:
    bare.register(SimpleNamespace(faceinv_encoders=lambda: []), "p", "dist 1")
    assert "not marked with @faceinv.hookimpl" in str(bare.problems[0])


def test_a_hook_with_a_wrong_signature_is_reported(bare: Host) -> None:
    def faceinv_commands(group: object) -> None: ...

    bare.register(SimpleNamespace(faceinv_commands=hookimpl(faceinv_commands)), "p", "dist 1")
    assert "group" in str(bare.problems[0])


def test_a_hook_that_raises_is_reported_and_the_rest_works(bare: Host) -> None:
    @hookimpl
    def faceinv_encoders() -> list[EncoderSpec]:
        raise ZeroDivisionError("oops")

    bare.register(SimpleNamespace(faceinv_encoders=faceinv_encoders), "bad", "broken 3")
    bare.register(plugin(encoder("good")), "good", "dist 1")
    assert str(bare.problems[0]) == "plugin 'bad' (broken 3): faceinv_encoders() failed: ZeroDivisionError: oops"
    assert bare.spec("encoder", "good")


def test_commands_that_fail_are_reported_and_the_rest_are_added(bare: Host) -> None:
    @hookimpl
    def faceinv_commands(cli: click.Group) -> None:
        raise ZeroDivisionError("oops")

    bare.register(SimpleNamespace(faceinv_commands=faceinv_commands), "bad", "broken 3")

    @hookimpl(specname="faceinv_commands")
    def add(cli: click.Group) -> None:
        cli.add_command(click.Command("extra"))

    bare.register(SimpleNamespace(add=add), "good", "dist 1")
    group = click.Group()
    bare.add_commands(group)
    assert list(group.commands) == ["extra"]
    assert str(bare.problems[0]) == "plugin 'bad' (broken 3): faceinv_commands() failed: ZeroDivisionError: oops"


def test_a_spec_of_the_wrong_kind_is_reported(bare: Host) -> None:
    bare.register(plugin(ProbeSpec(name="p", summary="s", target="a:b", licence="MIT")), "p", "dist 1")
    assert "where a spec of kind 'encoder' is expected" in str(bare.problems[0])


def test_a_plugin_that_cannot_be_imported_is_named_with_its_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point(EntryPoint):
        dist = SimpleNamespace(metadata={"Name": "faceinv-broken", "Version": "9.9"})

    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: [Point("broken", "no_such_module_anywhere", group)]
    )
    host = Host()
    assert "plugin 'broken' (faceinv-broken 9.9): importing no_such_module_anywhere failed" in str(host.problems[0])


def test_no_plugins_leaves_out_by_name_and_by_distribution() -> None:
    assert "dcgan" in Host().distributions
    assert "dcgan" not in Host(blocked=["dcgan"]).distributions
    assert "dcgan" not in Host(blocked=["faceinv-plugins"]).distributions
    with pytest.raises(UsageError, match=r"no plugin has that name\. Did you mean 'dcgan'"):
        Host(blocked=["dcgann"])


@pytest.mark.parametrize("layout", ["file", "package", "project"])
def test_a_plugin_from_a_path(tmp_path: Path, layout: str) -> None:
    source = (
        "from faceinv import hookimpl\nfrom faceinv.contracts.specs import *\n"
        "@hookimpl\ndef faceinv_probes():\n"
        f"    return [ProbeSpec(name='mine', summary='s', target='my_{layout}:thing', licence='MIT')]\n"
        "thing = 41\n"
    )
    if layout == "file":
        path = tmp_path / "my_file.py"
        path.write_text(source)
    elif layout == "package":
        path = tmp_path / "my_package"
        path.mkdir()
        (path / "__init__.py").write_text(source)
    else:
        path = tmp_path
        (tmp_path / "src" / "my_project").mkdir(parents=True)
        (tmp_path / "src" / "my_project" / "__init__.py").write_text(source)
        (tmp_path / "pyproject.toml").write_text('[project.entry-points.faceinv]\nmine = "my_project"\n')
    host = Host(entry_points=False, paths=[path])
    assert not host.problems
    assert load_target(host.spec("probe", "mine")) == 41


@pytest.mark.parametrize("content", [None, "folder"])
def test_a_path_without_a_plugin_says_what_is_due(tmp_path: Path, content: str | None) -> None:
    path = tmp_path if content else tmp_path / "none.py"
    with pytest.raises(UsageError, match=r"--plugin .*(No such file|neither pyproject\.toml nor __init__\.py)"):
        Host(entry_points=False, paths=[path])


def test_a_file_that_does_not_import_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "half_written_plugin.py"
    path.write_text("def broken(:\n")
    host = Host(entry_points=False, paths=[path])
    assert "SyntaxError" in str(host.problems[0])
    assert "half_written_plugin" not in sys.modules


def test_a_measurable_probe_is_a_loss_at_once(host: Host) -> None:
    loss = host.spec("loss", "brightness")
    assert loss.probe == "brightness"
    assert host.owner("loss", "brightness") == "toy 0"


def test_no_bundled_plugin_is_broken_and_all_name_what_they_are() -> None:
    host = Host()
    assert not [str(problem) for problem in host.problems]
    for kind in set(HOOK_KINDS.values()) - {"weights", "weight source"}:
        for spec in host.specs(kind):
            assert spec.licence, spec.name
            if spec.weights:
                assert spec.weights_licence, spec.name
            for name in spec.weights:
                assert host.spec("weights", name).licence, name


def _imports(code: str) -> set[str]:
    report = f"{code}\nimport sys; print('modules:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("modules:")[2].split())


HEAVY = {"torch", "numpy", "kornia", "timm", "lpips", "PIL", "requests", "pyarrow"}


@pytest.mark.parametrize("args", [["--help"], ["plugins"], ["plugins", "--json"], ["weights", "--help"]])
def test_listing_imports_nothing_heavy(args: list[str]) -> None:
    code = f"from faceinv.cli import main\ntry: main({args!r})\nexcept SystemExit: pass"
    assert not _imports(code) & HEAVY


def test_the_import_test_can_fail() -> None:
    assert _imports("import torch") & HEAVY
