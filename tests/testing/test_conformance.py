"""The toy chain passes all conformance checks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from faceinv.errors import UsageError
from faceinv.plugins import Host
from faceinv.testing import parametrize_with_checks, toy


@parametrize_with_checks(toy)
def test_the_toy_chain_conforms(check) -> None:
    check()


def test_importing_the_kit_imports_no_torch() -> None:
    code = "import faceinv.testing, sys; assert 'torch' not in sys.modules; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_expected_failure_must_name_something_that_is_checked() -> None:
    with pytest.raises(UsageError, match=r"No object is called 'toy\.attackt'\. Did you mean 'toy\.attacked'"):
        parametrize_with_checks(toy, host=Host(), expected_failures={"toy.attackt": {"pickles": "no"}})
    with pytest.raises(UsageError, match=r"No check of encoder 'toy\.attacked' is called 'pickels'"):
        parametrize_with_checks(toy, host=Host(), expected_failures={"toy.attacked": {"pickels": "no"}})
