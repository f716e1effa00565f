"""Equal parts of a grid, for jobs that do not communicate."""

from __future__ import annotations

from dataclasses import dataclass

from faceinv.errors import UsageError


@dataclass(frozen=True)
class Shard:
    """One of several equal parts of a grid.

    Args:
        number: Number of the part, from 1.
        of: Number of parts.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard written ``k/n``.

        Raises:
            UsageError: if the text has another form, or k is not from 1 to n.
        """
        number, slash, of = text.partition("/")
        if not slash or not (number.isdigit() and of.isdigit()) or not 1 <= int(number) <= int(of):
            raise UsageError(f"--shard {text}: expected k/n with k from 1 to n, such as 1/8.")
        return cls(int(number), int(of))

    def slice(self, n: int) -> range:
        """Return this shard's indices among ``n`` items; every item is in exactly one shard."""
        return range((self.number - 1) * n // self.of, self.number * n // self.of)
