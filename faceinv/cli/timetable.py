"""How long a command will still take: what usually takes how long, corrected by what it takes now."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from faceinv.bench.phases import FETCHING, Phase

#: Seconds of usual work that the usual speed counts for, next to the measured one.
_TRUST = 2.0


@dataclass
class _Stage:
    """A phase and how much of it is done; ``None`` before it begins."""

    phase: Phase
    share: float | None = None
    skipped: bool = False

    @property
    def kind(self) -> str:
        return self.phase.kind or self.phase.label

    @property
    def left(self) -> float:
        """Usual seconds of what is left."""
        return 0.0 if self.skipped else self.phase.seconds * (1 - (self.share or 0.0))


@dataclass
class _Pace:
    """Seconds that work of one kind took, and usually takes."""

    took: float = 0.0
    usual: float = 0.0

    def slower(self, general: float) -> float:
        """Return the factor from usual to actual seconds, given that of all work."""
        return (self.took + _TRUST * general) / (max(self.usual, 0.0) + _TRUST)


class Timetable:
    """The time that a command has left.

    A phase that has not begun when a later one begins is skipped: its results are in a cache. Phases that have begun
    go on, because workers compute several at a time.

    Args:
        phases: What the command will do, in order.
        clock: Returns seconds.
    """

    def __init__(self, phases: Sequence[Phase], clock: Callable[[], float] = time.monotonic) -> None:
        self._stages = [_Stage(phase) for phase in phases]
        self._clock = clock
        self._began = self._last = clock()
        self._paces: defaultdict[str, _Pace] = defaultdict(_Pace)

    def report(self, what: str, done: int, of: int) -> None:
        """Count that ``done`` of ``of`` steps of ``what`` are done. Work that no phase fits is not counted."""
        now = self._clock()
        passed, self._last = now - self._last, now
        place = self._place(what)
        if place is None:
            return
        stage, share = self._stages[place], min(1.0, done / max(1, of))
        if stage.share is None:
            # What is done at the first report may have been done by an earlier run.
            for earlier in self._stages[:place]:
                earlier.skipped = earlier.share is None
            stage.skipped = False
        else:
            pace = self._paces[stage.kind]
            pace.took += passed
            pace.usual += stage.phase.seconds * (share - stage.share)
        stage.share = share

    def _place(self, what: str) -> int | None:
        """Return the place of the phase that ``what`` belongs to: the one in progress, else the next, else the last."""
        fitting = [place for place, stage in enumerate(self._stages) if what.startswith(stage.phase.label)]
        shares = {place: self._stages[place].share for place in fitting}
        going = [place for place, share in shares.items() if share is not None and share < 1]
        begun = max((place for place, stage in enumerate(self._stages) if stage.share is not None), default=-1)
        next_ones = [place for place, share in shares.items() if share is None and place > begun]
        return next(iter([*going, *next_ones, *fitting[-1:]]), None)

    @property
    def left(self) -> float:
        """Estimated seconds left."""
        computing = [pace for kind, pace in self._paces.items() if kind != FETCHING]
        whole = _Pace(sum(pace.took for pace in computing), sum(pace.usual for pace in computing))
        general = whole.slower(1.0)
        # The network's speed says nothing about the processor's.
        return sum(
            stage.left * self._paces[stage.kind].slower(1.0 if stage.kind == FETCHING else general)
            for stage in self._stages
        )

    @property
    def share(self) -> float:
        """Share of the command's time that has passed."""
        passed = self._clock() - self._began
        return passed / max(passed + self.left, 1e-9)


def duration(seconds: float) -> str:
    """Return a time in words: seconds below 100 s, minutes below 100 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
