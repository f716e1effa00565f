"""The engine beside a bare loop of the same networks: what the framework costs.

    pytest benchmarks/test_engine.py --benchmark-only

Both do ``STEPS`` Adam steps on ``BATCH`` targets through the default chain, in turns in one run, and the last
test prints the ratio of their image-steps per second.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from faceinv.contracts import LossContext
from faceinv.engine import invert
from faceinv.loading import FramedEncoder, LoadedGenerator, Loader
from faceinv.memory import keep_memory
from faceinv.objective import build_objective
from faceinv.plugins import Host
from faceinv.registry import load_target
from faceinv.weights import WeightStore

BATCH, STEPS = 32, 16


@pytest.fixture(scope="module")
def chain() -> tuple[LoadedGenerator, FramedEncoder, Host]:
    keep_memory()
    host = Host()
    loader = Loader(host, WeightStore(host))
    generator = loader.generator("dcgan")
    return generator, FramedEncoder(loader.encoder("arcface"), generator.framing), host


@pytest.fixture(scope="module")
def targets(chain: tuple[LoadedGenerator, FramedEncoder, Host]) -> tuple[Tensor, Tensor]:
    generator, encoder, _ = chain
    latents = generator.network.sample(2 * BATCH, "z", torch.Generator().manual_seed(0))
    with torch.no_grad():
        return latents[:BATCH], encoder(generator.network(latents[BATCH:], "z"))


def bare_loop(chain: tuple[LoadedGenerator, FramedEncoder, Host], targets: tuple[Tensor, Tensor]) -> None:
    generator, encoder, _ = chain
    first, descriptors = targets
    latents = first.clone().requires_grad_()
    optimizer = torch.optim.Adam([latents], lr=0.05)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = (encoder(generator.network(latents, "z")) - descriptors).square().sum()
        loss.backward()
        optimizer.step()


def engine(chain: tuple[LoadedGenerator, FramedEncoder, Host], targets: tuple[Tensor, Tensor]) -> None:
    generator, encoder, host = chain
    first, descriptors = targets
    method = host.spec("method", "latent-adam")
    invert(
        load_target(method)(),
        descriptors,
        encode=encoder,
        access=method.access,
        generator=generator.network,
        space="z",
        objective=build_objective([host.spec("loss", "id")], {"id": LossContext("balanced", 1.0)}, {}, "balanced"),
        start=lambda _: first,
        steps=STEPS,
        seeds=list(range(BATCH)),
        batch_size=BATCH,
    )


@pytest.mark.benchmark(group="engine")
@pytest.mark.parametrize("loop", [bare_loop, engine])
def test_engine(
    benchmark: object,
    loop: Callable[..., None],
    chain: tuple[LoadedGenerator, FramedEncoder, Host],
    targets: tuple[Tensor, Tensor],
) -> None:
    benchmark.pedantic(loop, args=(chain, targets), rounds=4, warmup_rounds=1)  # type: ignore[attr-defined]


def test_ratio(
    chain: tuple[LoadedGenerator, FramedEncoder, Host],
    targets: tuple[Tensor, Tensor],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Print the ratio, measured in turns so that both feel the same machine."""
    times: dict[str, list[float]] = {"bare_loop": [], "engine": []}
    for _ in range(4):
        for loop in (bare_loop, engine):
            began = time.perf_counter()
            loop(chain, targets)
            times[loop.__name__].append(time.perf_counter() - began)
    best = {name: min(values) for name, values in times.items()}
    rate = {name: BATCH * STEPS / seconds for name, seconds in best.items()}
    with capsys.disabled():
        print(
            f"\nimage-steps/s: bare loop {rate['bare_loop']:.1f}, engine {rate['engine']:.1f}, "
            f"ratio {rate['engine'] / rate['bare_loop']:.3f}"
        )
