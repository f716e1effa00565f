"""The commands and Python blocks of a Markdown page, in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Block:
    """A shell line or a Python block.

    Args:
        kind: ``"shell"`` or ``"python"``.
        text: A line without its comment, or the block.
        line: Its line number in the page.
    """

    kind: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page: fenced ``sh`` and ``python``, and lines indented by four spaces."""
    lines = page.read_text(encoding="utf-8").splitlines()
    fence, start, body = "", 0, []
    for number, line in enumerate(lines, 1):
        if fence:
            if line.startswith("```"):
                if fence == "python":
                    yield Block("python", "\n".join(body) + "\n", start)
                fence = ""
            elif fence == "sh":
                yield from _shell(line, number)
            else:
                body.append(line)
        elif opened := re.match(r"```(\S*)", line):
            fence, start, body = opened[1] or "text", number + 1, []
        elif line.startswith("    ") and not line.lstrip().startswith(("*", "-")):
            yield from _shell(line, number)


def _shell(line: str, number: int) -> Iterator[Block]:
    text = re.sub(r"\s+#.*$", "", line).strip()
    if text:
        yield Block("shell", text, number)
