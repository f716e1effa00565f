"""Detect changes of global state and network connections, neither of which a plugin may make."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from unittest import mock

import numpy as np
import torch

from faceinv.testing.checks import CheckFailed


def global_state() -> dict[str, Any]:
    """Return the state that belongs to the whole process: random states and settings."""
    return {
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        "Python's random state": random.getstate(),
        "NumPy's random state": repr(np.random.get_state(legacy=True)),
        "grad mode": torch.is_grad_enabled(),
        "the number of threads": torch.get_num_threads(),
        "the default dtype": torch.get_default_dtype(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "NumPy's error handling": tuple(np.geterr().items()),
    }


@contextmanager
def changes() -> Iterator[list[str]]:
    """Yield a list that names, after the block, the global state that it changed; all of it is restored."""
    changed: list[str] = []
    before = global_state()
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    numpy_state = np.random.get_state()
    restore: dict[str, Callable[[], object]] = {
        "torch's random state": lambda: torch.set_rng_state(torch_state),
        "Python's random state": lambda: random.setstate(python_state),
        "NumPy's random state": lambda: np.random.set_state(numpy_state),
        "grad mode": lambda: torch.set_grad_enabled(before["grad mode"]),
        "the number of threads": lambda: torch.set_num_threads(before["the number of threads"]),
        "the default dtype": lambda: torch.set_default_dtype(before["the default dtype"]),
        "deterministic algorithms": lambda: torch.use_deterministic_algorithms(before["deterministic algorithms"]),
        "cudnn.benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", before["cudnn.benchmark"]),
        "NumPy's error handling": lambda: np.seterr(**dict(before["NumPy's error handling"])),
    }
    try:
        yield changed
    finally:
        after = global_state()
        for name, restore_one in restore.items():
            if before[name] != after[name]:
                changed.append(name)
                restore_one()


@contextmanager
def untouched(what: object) -> Iterator[None]:
    """Raise :class:`CheckFailed` if the block changes global state, after restoring it."""
    with changes() as changed:
        yield
    if changed:
        raise CheckFailed(f"{what} changes {', '.join(changed)}.")


@contextmanager
def connections() -> Iterator[list[str]]:
    """Yield a list of the addresses that the block tries to connect to; every attempt is refused."""
    attempts: list[str] = []

    def refuse(*args: object, **_: object) -> NoReturn:
        attempts.append(next((str(given) for given in args if isinstance(given, (str, tuple))), "an address"))
        raise ConnectionRefusedError("a conformance check allows no network access")

    with (
        mock.patch.object(socket.socket, "connect", refuse),
        mock.patch.object(socket.socket, "connect_ex", refuse),
        mock.patch.object(socket, "getaddrinfo", refuse),
        mock.patch.object(socket, "create_connection", refuse),
    ):
        yield attempts
