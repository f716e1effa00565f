"""Prefetching: threads load images ahead of their use, in order, into a few reused batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from faceinv.errors import InputError
from faceinv.hardware import processors

#: Number of batches: one is in use while the next ones fill.
_BUFFERS = 3


def default_workers() -> int:
    """Return the default number of loading threads: one for each processor, at most 8."""
    return min(8, processors())


@dataclass(frozen=True)
class Batch:
    """A batch of loaded images.

    Args:
        rows: Their indices in the data set.
        views: ``(B, 3, H, W)`` float32 each; valid until the next batch is requested.
        failed: The reason for each row that could not be loaded.
    """

    rows: list[int]
    views: list[Tensor]
    failed: dict[int, str]


class Frames:
    """Loader of images in threads; Pillow decodes and torch resamples without holding Python's lock.

    Args:
        load: Returns the views ``(3, H, W)`` of a row's image; raises :class:`InputError` if it cannot be used.
        sizes: Height and width of each view.
        workers: Number of threads.
        batch_size: Maximum number of images in a batch.
    """

    def __init__(
        self, load: Callable[[int], Iterable[Tensor]], sizes: Sequence[tuple[int, int]], workers: int, batch_size: int
    ) -> None:
        self._load = load
        self._sizes = sizes
        self._batch_size = batch_size
        self._threads = torch.get_num_threads()
        # The workers already use all cores: more threads in each would only wait for each other.
        self._pool = ThreadPoolExecutor(workers, "frames", torch.set_num_threads, (1,))

    def __enter__(self) -> Frames:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        # The setting belongs to a thread, but threads that start later inherit the last one made.
        torch.set_num_threads(self._threads)

    def read(self, spans: Sequence[range]) -> Iterator[Iterator[Batch]]:
        """Yield the batches of each span of rows; consume them all before requesting the next span."""
        parts = [
            range(first, min(first + self._batch_size, span.stop))
            for span in spans
            for first in range(span.start, span.stop, self._batch_size)
        ]
        batches = self._batches(parts)
        for span in spans:
            yield (next(batches) for _ in range(span.start, span.stop, self._batch_size))

    def _batches(self, parts: Sequence[range]) -> Iterator[Batch]:
        shapes = [(self._batch_size, 3, *size) for size in self._sizes]
        free = deque([torch.empty(shape) for shape in shapes] for _ in range(_BUFFERS))
        under_way: deque[tuple[range, list[Tensor], list[Future[str]]]] = deque()
        for part in (*parts, *[None] * _BUFFERS):
            if part is not None:
                buffers = free.popleft()
                futures = [self._pool.submit(self._into, buffers, k, row) for k, row in enumerate(part)]
                under_way.append((part, buffers, futures))
                if free:
                    continue
            if under_way:
                rows, buffers, futures = under_way.popleft()
                yield _batch(rows, buffers, futures)
                free.append(buffers)

    def _into(self, buffers: Sequence[Tensor], place: int, row: int) -> str:
        """Load the views of one image into the buffers; return why that failed, or an empty string."""
        try:
            with torch.no_grad():  # this setting, too, belongs to a thread
                for buffer, view in zip(buffers, self._load(row), strict=True):
                    buffer[place].copy_(view)
        except (InputError, OSError) as error:
            return str(error)
        return ""


def _batch(rows: range, buffers: Sequence[Tensor], futures: Sequence[Future[str]]) -> Batch:
    reasons = [future.result() for future in futures]
    good = [k for k, reason in enumerate(reasons) if not reason]
    views = [buffer[: len(rows)] if len(good) == len(rows) else buffer[good] for buffer in buffers]
    failed = {rows[k]: reason for k, reason in enumerate(reasons) if reason}
    return Batch([rows[k] for k in good], views, failed)
