"""How many targets go together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from faceinv.bench.config import load_config
from faceinv.errors import UsageError
from faceinv.models.batching import batch_size_for

#: 64 KB of maps an image: the largest layer's result is 16 KB.
NETWORK = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1), nn.Tanh())
CPU = torch.device("cpu")


def chosen(cache: int | None = None, memory: int | None = None) -> int:
    """Return the batch size for so many KB of cache and memory; by default this machine's."""
    image = torch.zeros(1, 1, 32, 32, requires_grad=True)
    return batch_size_for(
        lambda: NETWORK(image), NETWORK, CPU, cache=cache and cache << 10, free=memory and memory << 10
    )


@pytest.mark.parametrize(
    ("cache", "memory", "expected"),
    [(16 * 16, 1 << 20, 16), (16 * 31, 1 << 20, 16), (16 * 32, 1 << 20, 32), (1, 1 << 20, 4), (1 << 20, 1 << 20, 64)],
)
def test_the_largest_result_of_a_batch_stays_in_the_cache(cache: int, memory: int, expected: int) -> None:
    assert chosen(cache, memory) == expected


def test_what_is_kept_for_the_gradient_takes_a_quarter_of_the_memory() -> None:
    # Kept of an image: what the first layer is given (4 KB), the results of the ReLU (16 KB) and of the tangent (8 KB).
    assert chosen(cache=1 << 20, memory=4 * 9 * 28) == 8
    assert chosen(cache=1 << 20, memory=4 * 7 * 28) == 4
    assert chosen(cache=1 << 20, memory=1) == 1


def test_by_default_the_size_is_that_of_this_machines_cache_and_memory() -> None:
    caches = [
        int(text[:-1]) for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
        if (text := path.read_text().strip()).endswith("K")
    ]  # fmt: skip
    if not caches:
        pytest.skip("the system does not report its caches")
    assert chosen(memory=1 << 20) == chosen(max(caches), 1 << 20)
    # A tiny network fits any machine's memory 64 times.
    assert chosen(cache=1 << 20) == 64
    assert chosen() == chosen(max(caches), 1 << 20) == chosen()


def test_a_config_says_auto_or_a_number() -> None:
    assert load_config(None, {})[0].batch_size == "auto"
    assert load_config(None, {"batch_size": "8"})[0].batch_size == 8
    for wrong in ("0", 0, -1, "many", 1.5):
        with pytest.raises(UsageError, match=r"batch_size: .*whole number from 1, or auto; got"):
            load_config(None, {"batch_size": wrong})
