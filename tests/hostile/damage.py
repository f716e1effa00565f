"""Ways to damage bytes, drawn from a seed."""

from __future__ import annotations

import random
import struct

#: Numbers at which readers fail.
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1)

#: Text that a terminal, a page, a table or a path could take for more than text.
TEXTS = (
    "", " ", ".", "..", "../../outside/parts", "/etc/passwd", "a/b", "a\\b", "C:\\x", "-rf", "--out=x", "~",
    "\x1b[2J\x1b[31mforged", "line\nError: forged", "a\0b", "\r\rover", "\u202eexe.gpj", "\x9b31m",
    "[red]x[/red]", "[/]", "[/bold]", ":x:", "=1+1", "@SUM(A1)", "<script>alert(1)</script>", "\"'>&", "| x | y |",
    "$(touch canary)", "`touch canary`", "; touch canary", "%s%n", "{0.__class__}", "{{7*7}}", "${x}",
    "ü" * 40, "x" * 5000, "😀" * 20, "NaN", "nan", "inf", "-0", "1e999", "0x10", "1_000", "٣", "null", "true",
)  # fmt: skip


def damaged(rng: random.Random, whole: bytes) -> tuple[str, bytes]:
    """Return ``whole`` after some damage, and its name."""
    kind = rng.choice(("cut", "flip", "flip", "number", "number", "zeros", "insert", "remove", "repeat", "tail"))
    data = bytearray(whole)
    at = rng.randrange(len(data) + 1)
    if kind == "cut":
        del data[at:]
    elif kind == "flip":
        for _ in range(rng.choice((1, 1, 3, 30))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "number":
        size, form = rng.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
        for _ in range(rng.choice((1, 1, 4))):
            at = rng.randrange(max(1, len(data) - size))
            order = rng.choice("<>")
            data[at : at + size] = struct.pack(order + form, rng.choice(EDGES) & ((1 << 8 * size) - 1))
    elif kind == "zeros":
        size = rng.choice((1, 16, 512))
        data[at : at + size] = bytes(len(data[at : at + size]))
    elif kind == "insert":
        data[at:at] = rng.randbytes(rng.choice((1, 4, 100)))
    elif kind == "remove":
        del data[at : at + rng.choice((1, 4, 100))]
    elif kind == "repeat":
        data[at:at] = data[at : at + rng.choice((8, 64, 4096))]
    else:
        data += rng.randbytes(rng.choice((1, 100, 5000)))
    return kind, bytes(data)
