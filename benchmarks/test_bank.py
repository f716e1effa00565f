"""The bank compared with the bare encoder: the cost of decoding, framing and storing.

    OMP_NUM_THREADS=1 pytest benchmarks/test_bank.py -s

Both embed ``IMAGES`` JPEG photographs, alternately in one run: the bare encoder from crops in memory, the bank from
the files. Prints images per second, their ratio, and the speed of decoding alone in threads and in processes. Embedding
takes one thread here; with a second core for decoding, the bank should not fall behind. The second ratio is by the
processor time of that thread alone: it shows the overhead besides embedding, however busy the machine is.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from made_photographs import IMAGES, SOURCE, Photographs

from faceinv.bank import BankSettings, open_bank
from faceinv.data import read_image
from faceinv.framing import warp_between
from faceinv.hardware import keep_memory
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.weights import WeightStore

BATCH, ROUNDS = 64, 2


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Photographs:
    keep_memory()
    return Photographs(tmp_path_factory.mktemp("photographs"))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("encoder", ["arcface", "facenet"])
def test_ratio(encoder: str, photographs: Photographs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = Host()
    loader = Loader(host, WeightStore(host))
    network = loader.encoder(encoder)
    warp = warp_between(SOURCE, network.spec.framing)
    crops = torch.cat([warp(photographs.load(k)[None]) for k in range(BATCH)])

    def bare(_: int) -> None:
        with torch.inference_mode():
            for _ in range(IMAGES // BATCH):
                network(crops)

    def bank(turn: int) -> None:
        open_bank(loader, photographs, encoder, settings=BankSettings(batch_size=BATCH), folder=tmp_path / str(turn))

    rates = in_turns({"bare encoder": bare, "bank": bank})
    with capsys.disabled():
        print(
            f"\n{encoder}, {torch.get_num_threads()} thread, {os.cpu_count()} cores, images/s: "
            f"bare encoder {rates['bare encoder'][0]:.1f}, bank {rates['bank'][0]:.1f}, "
            f"ratio {rates['bank'][0] / rates['bare encoder'][0]:.3f}, "
            f"of the embedding thread's processor time {rates['bank'][1] / rates['bare encoder'][1]:.3f}"
        )


def decode(folder: Path, name: str) -> int:
    return read_image(folder / name).shape[1]


def test_threads_or_processes(photographs: Photographs, capsys: pytest.CaptureFixture[str]) -> None:
    """Decoding alone; processes would also have to hand over each image."""
    pools: dict[str, Executor] = {
        f"{n} {kind}": make(n)
        for n in (1, 2)
        for kind, make in {
            "thread": ThreadPoolExecutor,
            "process": functools.partial(ProcessPoolExecutor, mp_context=get_context("fork")),
        }.items()
    }
    job = functools.partial(decode, photographs._folder)

    def run(pool: Executor) -> Callable[[int], None]:
        return lambda _: list(pool.map(job, photographs.ids, chunksize=16)) and None

    rates = in_turns({name: run(pool) for name, pool in pools.items()})
    for pool in pools.values():
        pool.shutdown()
    with capsys.disabled():
        print("\ndecoding, images/s: " + ", ".join(f"{name} {rate:.0f}" for name, (rate, _) in rates.items()))


def in_turns(work: dict[str, Callable[[int], None]]) -> dict[str, tuple[float, float]]:
    """Return images per second by wall clock and by this thread's processor time, for the best turn of each."""
    best = {name: [float("inf")] * 2 for name in work}
    for turn in range(ROUNDS + 1):
        for name, run in work.items():
            began, spent = time.perf_counter(), time.thread_time()
            run(turn)
            if turn:  # the first turn warms up
                took = (time.perf_counter() - began, time.thread_time() - spent)
                best[name] = [min(pair) for pair in zip(best[name], took, strict=True)]
    return {name: (IMAGES / clock, IMAGES / max(processor, 1e-9)) for name, (clock, processor) in best.items()}
