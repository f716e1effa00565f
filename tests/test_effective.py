"""What an edit of source has to touch to count: anything that changes the program, and nothing else."""

from __future__ import annotations

import ast
import textwrap

import pytest
from hypothesis import given, settings, strategies as st

from faceinv.plugins.code import CORE
from faceinv.plugins.effective import effective_code

BASE = """
def f(x, y=(1, 2)):
    if x:
        return f"{x!r:>{y[0]}} # {y}"
    return "a#b"
"""


def code(text: str) -> bytes:
    return effective_code(textwrap.dedent(text).encode())


@pytest.mark.parametrize(
    "same",
    [
        BASE.replace("if x:", "if x:  # a remark"),
        BASE.replace('    return "a', '\n\n    # a remark\n    return "a'),
        BASE.replace("y=(1, 2)):", 'y=(1, 2)):\n    """Return it # for x.\n\n    At length.\n    """'),
        BASE.replace("y=(1, 2)):", "y=(1, 2)):\n    r'It is \\d'\n"),
        '"""A module."""\n' + BASE,
        "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n" + BASE,
        BASE.replace("(x, y=(1, 2))", "(\n    x,  # first\n\n    y=(1, 2)\n)"),
        BASE.replace("return f", "return \\\n            f"),
        BASE.replace("    ", "\t"),
        BASE.replace("\n", "\r\n"),
        BASE.rstrip(),
        BASE + "\n# the end",
        BASE.replace("x, y=(1, 2)", "x,y = (1,2)"),
        BASE + '\n"an unused string"\n',
    ],
)
def test_comments_docstrings_and_layout_do_not_count(same: str) -> None:
    ast.parse(same)
    assert code(same) == code(BASE)


@pytest.mark.parametrize(
    "other",
    [
        BASE.replace("a#b", "a#c"),
        BASE.replace("# {y}", "#  {y}"),
        BASE.replace("{y[0]}", "{y[1]}"),
        BASE.replace("!r", "!s"),
        BASE.replace('    return "a#b"', '        return "a#b"'),
        BASE.replace("def f", "@staticmethod\ndef f"),
        BASE.replace("(1, 2)", "(1, 2,)"),
        BASE.replace("(1, 2)", "(12)"),
        BASE.replace("if x:", "if x: pass\n    if y:"),
        BASE.replace('return "a#b"', 'return ("a#b"\n        "c")'),
        BASE + "'''a''' + '''b'''\n",
        BASE + "f'{f(1)}'\n",
        BASE + "x = '''\n\n# a\n'''\n",
    ],
)
def test_whatever_else_is_edited_counts(other: str) -> None:
    ast.parse(other)
    assert code(other) != code(BASE)


def test_lines_of_a_string_count_even_if_they_look_like_remarks_or_are_blank() -> None:
    texts = ["", "# a", "# b", "\n# a", "  # a", "# a  ", '"""a"""']
    assert len({code(f"x = '''\n{text}\n'''\n") for text in texts}) == len(texts)


def test_a_string_that_is_a_value_counts_where_it_stands_alone_on_a_line() -> None:
    assert code("x = (\n    'a'\n)\n") != code("x = (\n    'b'\n)\n")
    assert code("x = [\n    # a\n    'a',\n]\n") == code("x = [\n    'a',\n]\n")


def test_docstrings_count_where_a_module_reads_them() -> None:
    read = 'def f():\n    """{0}"""\n    return f.__doc__\n'
    assert code(read.format("a")) != code(read.format("b"))


def test_a_function_may_be_nothing_but_its_docstring() -> None:
    assert code('def f():\n    """a"""\nx = 1\n') == code("def f():\n    'b'\nx = 1\n")
    assert code('def f():\n    """a"""\n    x = 1\n') != code('def f():\n    """a"""\nx = 1\n')


def test_the_text_counts_not_its_encoding() -> None:
    text = "x = 'é'\n"
    assert effective_code(b"# coding: latin-1\n" + text.encode("latin-1")) == effective_code(text.encode())
    assert effective_code(b"\xef\xbb\xbf" + text.encode()) == effective_code(text.encode())


def test_an_f_string_is_one_token_in_every_version_of_python() -> None:
    nested = "x = f'{f\"{1:{2}}\"} {{a}}' rf'''\n  {x}é {x!r} # a\n'''  # b\n"
    assert code(nested) == "0\0x\0=\0f'{f\"{1:{2}}\"} {{a}}'\0rf'''\n  {x}é {x!r} # a\n'''".encode()


@pytest.mark.parametrize("broken", [b"x = (\n", b"x = '''", b"# coding: no-such\n", b"\xff"])
def test_what_is_not_source_is_one_of_two_errors(broken: bytes) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        effective_code(broken)


SOURCES = sorted(CORE.rglob("*.py"))


@settings(max_examples=60, deadline=None)
@given(path=st.sampled_from(SOURCES), data=st.data())
def test_any_name_of_the_core_that_is_edited_counts(path, data) -> None:
    source = path.read_text()
    before, tree = effective_code(source.encode()), ast.parse(source)
    assert effective_code(f"# a\n\n{source}\n\n# b".encode()) == before
    # Before Python 3.12 the places inside f-strings are unknown.
    inside = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in inside]
    if names:
        name = data.draw(st.sampled_from(names))
        lines = source.split("\n")
        row = lines[name.lineno - 1].encode()
        lines[name.lineno - 1] = (row[: name.end_col_offset] + b"_" + row[name.end_col_offset :]).decode()
        assert effective_code("\n".join(lines).encode()) != before
