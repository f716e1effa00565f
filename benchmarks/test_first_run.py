"""The phases of a first run of the default chain, each timed once.

    pytest benchmarks/test_first_run.py --benchmark-only --benchmark-autosave   # and --benchmark-compare the next time

Nothing is read from a cache but the weights files. The numbers of pairs, targets and steps are small, so times per pair
and per image-step are what to compare: ``extra_info`` has how many there were. ``ratios.py`` keeps the phases' times in
the history, beside that of embedding the pairs alone.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from first_run import PAIRS, PHASES, STEPS, TARGETS, FirstRun

from faceinv.hardware import keep_memory


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    keep_memory()
    torch.set_num_threads(1)
    return FirstRun(tmp_path_factory.mktemp("first"))


@pytest.mark.benchmark(group="first run")
@pytest.mark.parametrize("phase", PHASES)
def test_phase(benchmark: object, first_run: FirstRun, phase: str) -> None:
    if phase == "report":
        first_run.record()
    run: Callable[[], None] = getattr(first_run, phase)
    benchmark.extra_info |= {"pairs": PAIRS, "targets": TARGETS, "steps": STEPS}  # type: ignore[attr-defined]
    benchmark.pedantic(run, rounds=1)  # type: ignore[attr-defined]
