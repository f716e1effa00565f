"""Cost of the soft histogram on one thread, forward and backward, compared with kornia and a direct evaluation.

``pytest benchmarks/test_histogram.py --benchmark-only -s`` prints the times and the ratios.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import torch
from faceinv_histogram.soft import soft_counts
from torch import Tensor

SHAPE = (16, 3, 224, 224)

#: The soft histogram must be at least this many times as fast as the others.
LEAST = 20


def direct(images: Tensor) -> Tensor:
    """Evaluate equation (3) with a sigmoid for every pixel and edge."""
    edges = torch.linspace(0, 255, 11, dtype=images.dtype)
    above = torch.sigmoid(1.85 * (images.flatten(2).unsqueeze(3) * 255 - edges)).sum(2)
    return above[..., :-1] - above[..., 1:]


def ours(images: Tensor) -> Tensor:
    return soft_counts(images)


def kornia(images: Tensor) -> Tensor:
    from faceinv_histogram.kornia_measure import histogram

    return histogram(images)


def step(measure: Callable[[Tensor], Tensor]) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return a job that runs a forward and a backward pass over the same images and returns both results."""
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(SHAPE, generator=rng).requires_grad_()
    weights = torch.randn(*SHAPE[:2], 10, generator=rng)

    def run() -> tuple[Tensor, Tensor]:
        images.grad = None
        histogram = measure(images)
        histogram.backward(weights)
        assert images.grad is not None
        return histogram.detach(), images.grad

    return run


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread, so that nothing waits for a core that another process holds and the ratios are stable."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.benchmark(group="histogram 16x3x224x224, forward and backward", warmup=True, warmup_iterations=2)
@pytest.mark.parametrize("measure", [ours, direct, kornia])
def test_histogram(benchmark, measure: Callable[[Tensor], Tensor]) -> None:  # type: ignore[no-untyped-def]
    benchmark.pedantic(step(measure), rounds=15 if measure is ours else 3, warmup_rounds=1)


def test_ratio_and_parity() -> None:
    """Run interleaved with equal time for each; the best time of each counts."""
    steps = {measure.__name__: step(measure) for measure in (ours, direct, kornia)}
    outcomes = {name: run() for name, run in steps.items()}
    for got, expected in zip(outcomes["ours"], outcomes["direct"], strict=True):
        assert (got - expected).norm() < 1e-5 * expected.norm()
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(4):
        for name, run in steps.items():
            end = time.perf_counter() + 1.5
            while (start := time.perf_counter()) < end:
                run()
                best[name] = min(best[name], time.perf_counter() - start)
    ratios = {name: best[name] / best["ours"] for name in ("direct", "kornia")}
    others = ", ".join(f"{name} {ratio:.1f} times slower" for name, ratio in ratios.items())
    print(f"\nsoft histogram {best['ours'] * 1e3:.1f} ms; {others}")
    assert min(ratios.values()) >= LEAST
