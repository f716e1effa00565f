"""Every check has a broken toy that it must fail, and unbroken ones that it must pass."""

from __future__ import annotations

import contextlib
import pkgutil
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import broken_methods  # noqa: F401  (registers its toys)
import broken_networks  # noqa: F401
import broken_plugins
import broken_protections  # noqa: F401
import broken_reporters  # noqa: F401
import broken_scores  # noqa: F401
import broken_terms  # noqa: F401
import pytest
import torch
from breaking import BROKEN, GOOD, Broken

from faceinv.plugins import Host
from faceinv.testing import CheckFailed, NotApplicable, PluginSubject, Subject, checks_of
from faceinv.testing.checks import CHECK_MODULES
from faceinv.testing.watch import global_state, untouched

KINDS = [kind for kind in CHECK_MODULES if kind != "plugin"]


def find(kind: str, name: str):
    return next(check for check in checks_of(kind) if check.name == name)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.id)
def test_a_check_fails_the_toy_broken_for_it(broken: Broken) -> None:
    host = Host(entry_points=False)
    host.declare(broken.spec, "broken toys")
    state = global_state()
    with pytest.raises(CheckFailed) as failed:
        find(broken.kind, broken.check)(Subject(broken.spec, host))
    assert "\n" not in str(failed.value)
    # Changes of global state are undone, except random numbers drawn before the check started.
    random_states = {name for name in state if "random" in name}
    assert {k: v for k, v in global_state().items() if k not in random_states} == {
        k: v for k, v in state.items() if k not in random_states
    }


@pytest.fixture
def no_pandas() -> Iterator[None]:
    """Remove the stub of a heavy library, so that later tests import the real one."""
    before = sys.modules.pop("pandas", None)
    yield
    sys.modules.pop("pandas", None)
    if before is not None:
        sys.modules["pandas"] = before


@pytest.mark.usefixtures("no_pandas")
@pytest.mark.parametrize("check", broken_plugins.SOURCES)
def test_a_check_fails_the_plugin_broken_for_it(check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    path = broken_plugins.write_broken(check, tmp_path)
    host = Host(entry_points=False, paths=[path])
    assert not host.problems
    subject = PluginSubject(host.manager.get_plugin(path.stem), path.stem, host)
    with pytest.raises(CheckFailed):
        find("plugin", check)(subject)
    for other in checks_of("plugin"):
        if other.name != check:
            other(subject)


def test_every_check_has_a_toy_that_it_must_fail() -> None:
    broken = {find(item.kind, item.check) for item in BROKEN}
    broken |= {find("plugin", name) for name in broken_plugins.SOURCES}
    every = {check for kind in CHECK_MODULES for check in checks_of(kind)}
    assert {f"{check.kinds} {check.name}" for check in every - broken} == set()
    assert len(every) > 60


def test_every_check_says_what_it_means_and_how_to_fix_it() -> None:
    for kind in CHECK_MODULES:
        names = [check.name for check in checks_of(kind)]
        assert len(set(names)) == len(names)
        for check in checks_of(kind):
            assert re.fullmatch(r"[A-Z].+\.", check.meaning), check.name
            assert re.fullmatch(r"[A-Z].+\.", check.fix), check.name


@pytest.mark.parametrize("good", GOOD, ids=lambda good: good.__name__)
def test_no_toy_is_broken_by_accident(good: type) -> None:
    # A check that fails every object would pass the tests above. What the toys derive from passes all checks,
    # so a toy fails because of its own change.
    host = Host(entry_points=False)
    host.declare(GOOD[good], "good toys")
    subject = Subject(GOOD[good], host)
    for check in checks_of(subject.kind):
        with contextlib.suppress(NotApplicable):
            check(subject)


def test_every_broken_toy_is_a_good_one_with_a_change() -> None:
    # These are broken by not being what they derive from.
    without = {"function", "OnlyAModule", "OnlyTheEnd"}
    for broken in BROKEN:
        made = pkgutil.resolve_name(broken.spec.target)
        assert made.__name__ in without or issubclass(made, tuple(GOOD)), made


def test_what_was_changed_is_put_back() -> None:
    before = global_state()
    with pytest.raises(CheckFailed, match="it changes torch's random state, Python's random state, grad mode"):
        disturb()
    assert global_state() == before


def disturb() -> None:
    with untouched("it"):
        torch.rand(1)
        random.random()
        torch.set_grad_enabled(False)
