"""How many targets go together."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from faceinv.bench.config import load_config
from faceinv.errors import UsageError
from faceinv.models import batching
from faceinv.models.batching import batch_size_for

#: 64 KB of maps an image: the largest layer's result is 16 KB.
NETWORK = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1), nn.Tanh())
CPU = torch.device("cpu")


def chosen(monkeypatch: pytest.MonkeyPatch, *, cache: int, memory: int) -> int:
    monkeypatch.setattr(batching, "_last_cache", lambda: cache << 10)
    monkeypatch.setattr(batching, "_memory", lambda device: memory << 10)
    image = torch.zeros(1, 1, 32, 32, requires_grad=True)
    return batch_size_for(lambda: NETWORK(image), NETWORK, CPU)


@pytest.mark.parametrize(
    ("cache", "memory", "due"),
    [(16 * 16, 1 << 20, 16), (16 * 31, 1 << 20, 16), (16 * 32, 1 << 20, 32), (1, 1 << 20, 4), (1 << 20, 1 << 20, 64)],
)
def test_the_largest_result_of_a_batch_stays_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, cache: int, memory: int, due: int
) -> None:
    assert chosen(monkeypatch, cache=cache, memory=memory) == due


def test_what_is_kept_for_the_gradient_takes_a_quarter_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # Kept of an image: what the first layer is given (4 KB), the results of the ReLU (16 KB) and of the tangent (8 KB).
    assert chosen(monkeypatch, cache=1 << 20, memory=4 * 9 * 28) == 8
    assert chosen(monkeypatch, cache=1 << 20, memory=4 * 7 * 28) == 4
    assert chosen(monkeypatch, cache=1 << 20, memory=1) == 1


def test_of_this_machine_it_is_the_same_every_time() -> None:
    image = torch.zeros(1, 1, 32, 32, requires_grad=True)
    sizes = {batch_size_for(lambda: NETWORK(image), NETWORK, CPU) for _ in range(3)}
    assert len(sizes) == 1
    assert sizes.pop() in (4, 8, 16, 32, 64)


def test_a_config_says_auto_or_a_number() -> None:
    assert load_config(None, {})[0].batch_size == "auto"
    assert load_config(None, {"batch_size": "8"})[0].batch_size == 8
    for wrong in ("0", 0, -1, "many", 1.5):
        with pytest.raises(UsageError, match=r"batch_size: .*whole number from 1, or auto; got"):
            load_config(None, {"batch_size": wrong})
