"""The part of Python source that has an effect: no comments, docstrings, blank lines or line breaks inside brackets."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Iterator
from functools import cache

_NO_TEXT = (tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER)
#: From Python 3.12 on, an f-string is more than one token.
_OPENING, _CLOSING = (
    frozenset(number for number, name in tokenize.tok_name.items() if name.endswith(f"STRING_{end}"))
    for end in ("START", "END")
)


@cache
def effective_code(source: bytes) -> bytes:
    """Return the logical lines of Python ``source``, each with its depth of indentation and its tokens.

    Sources with the same result are the same program, and the result is the same in every version of Python that can
    parse the source. Lines that are only a string, such as docstrings, are left out, unless the module mentions
    ``__doc__``.

    Raises:
        SyntaxError: if it cannot be split into tokens.
        ValueError: if it cannot be decoded.
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    # The compiler does the same, inside strings too.
    text = source.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    documented = "__doc__" in text
    lines: list[str] = []
    line: list[str] = []
    depth, plain = 0, True
    try:
        for kind, token in _tokens(text):
            if kind == tokenize.NEWLINE:
                if line and (documented or not plain):
                    lines.append("\0".join([str(depth), *line]))
                line, plain = [], True
            elif kind == tokenize.INDENT:
                depth += 1
            elif kind == tokenize.DEDENT:
                depth -= 1
            elif kind not in _NO_TEXT:
                line.append(token)
                plain = plain and kind == tokenize.STRING and token[0] in "\"'rR"
    except tokenize.TokenError as error:
        raise SyntaxError(str(error)) from None
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    """Return the type and text of each token; an f-string is one, as it is before Python 3.12."""
    rows = text.split("\n")
    opened: list[tuple[int, int]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in _OPENING:
            opened.append(token.start)
        elif token.type in _CLOSING:
            (first, start), (last, end) = opened.pop(), token.end
            if not opened:
                whole = rows[first - 1 : last]
                whole[-1] = whole[-1][:end]
                whole[0] = whole[0][start:]
                yield tokenize.STRING, "\n".join(whole)
        elif not opened:
            yield token.type, token.string
