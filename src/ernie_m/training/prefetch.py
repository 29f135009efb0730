"""Prefetching: the next batch is made in a thread while the model computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetched(make: Callable[[int], T], first: int, last: int) -> Iterator[T]:
    """``make(first)``, ..., ``make(last - 1)``, each started when the one before is returned."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as worker:
        pending = worker.submit(make, first) if first < last else None
        for step in range(first, last):
            assert pending is not None
            ready = pending.result()
            pending = worker.submit(make, step + 1) if step + 1 < last else None
            yield ready
