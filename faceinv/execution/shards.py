"""One of several equal parts of a grid, for jobs that know nothing of each other."""

from __future__ import annotations

from dataclasses import dataclass

from faceinv.errors import UsageError


@dataclass(frozen=True)
class Shard:
    """One of several parts of equal size that a grid is divided into.

    Args:
        number: Which, from 1.
        of: How many there are.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that is written ``k/n``.

        Raises:
            UsageError: it is no such text, or k is not from 1 to n.
        """
        number, slash, of = text.partition("/")
        if not slash or not (number.isdigit() and of.isdigit()) or not 1 <= int(number) <= int(of):
            raise UsageError(f"--shard {text}: allowed is k/n with k from 1 to n, such as 1/8.")
        return cls(int(number), int(of))

    def slice(self, n: int) -> range:
        """Return which of ``n`` things in a row are this shard's; all shards together have each once."""
        return range((self.number - 1) * n // self.of, self.number * n // self.of)
