"""Work on many items in several threads, the answers in the items' order, a bounded number at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def in_order(work: Callable[[Item], Answer], items: Iterable[Item], workers: int) -> Iterator[Answer]:
    """``map(work, items)`` by so many threads.

    Threads and not processes: decoding, OpenCV and onnxruntime let other threads run meanwhile (reading photos holds
    Python's lock for 3 % of the time, by ``py-spy record --gil``), and all share one model. Items are taken no
    further ahead than two a worker. An error in ``work`` or ``items`` ends the iteration; what was not begun is left.
    """
    if workers == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Answer]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
