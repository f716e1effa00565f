"""Identity metrics: the cosine similarity of two descriptors."""

from __future__ import annotations

from torch import Tensor

from faceinv.contracts import Comparison


class IdSimilarity:
    """Cosine similarity of target and reconstruction on one encoder (section 4.4).

    On the attacked encoder it measures how well the optimisation went, not whose face it is: score
    identity on the critic.

    Args:
        role: ``"attacked"`` or ``"critic"``.
        framing: Unused; encoders have their own crop.
    """

    def __init__(self, role: str, **_: object) -> None:
        self.role = role

    def __call__(self, comparison: Comparison) -> Tensor:
        """Return the cosine of each pair, ``(B,)``."""
        return comparison.similarity(self.role)
