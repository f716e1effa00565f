"""The jobs of ``ratios.py`` timed one by one with their spread, grouped with their references.

    pytest benchmarks/test_groups.py --benchmark-only
    pytest benchmarks/test_groups.py --benchmark-autosave   # and --benchmark-compare the next time

``python benchmarks/ratios.py`` computes the ratios, running a job and its reference alternately.
"""

from __future__ import annotations

import pytest
import torch
from groups import GROUPS, Chain, jobs_of

from faceinv.hardware import keep_memory

#: The jobs of each group, including the references.
JOBS = {
    "engine": ("bare", "id", "all", "one"),
    "encoders": ("forward", "both", "forward, plain", "both, plain", "ours", "LiteRT with XNNPACK", "ONNX Runtime"),
    "embedding-bank": ("bare", "bank"),
    "generators": ("ours", "plain"),
    "losses": ("ours", "kornia"),
    "metrics": ("ours", "skimage"),
    "rescoring": ("rescore", "critic"),
    "precision": ("fp32", "bf16"),
    "start-up": ("help", "torch"),
}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    keep_memory()
    torch.set_num_threads(1)
    return Chain(tmp_path_factory.mktemp("chain"))


@pytest.mark.parametrize(
    ("group", "job"),
    [pytest.param(g, job, marks=pytest.mark.benchmark(group=g)) for g, jobs in JOBS.items() for job in jobs],
)
def test_job(benchmark: object, chain: Chain, group: str, job: str) -> None:
    jobs = jobs_of(GROUPS[group](chain))
    if job not in jobs:
        pytest.skip(f"'{job}' needs a package that is not installed")
    assert set(jobs) <= set(JOBS[group])
    benchmark.pedantic(jobs[job], rounds=5, warmup_rounds=1)  # type: ignore[attr-defined]
