"""faceinv's conformance checks of everything that this plugin declares."""

from my_template import plugin

from faceinv.testing import parametrize_with_checks


@parametrize_with_checks(plugin)
def test_conformance(check):
    check()
