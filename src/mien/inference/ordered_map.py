"""``map`` in several threads: results in the order of the items, with a bounded number of items at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """``map(work, items)`` in ``workers`` threads.

    Threads and not processes: decoding, OpenCV and onnxruntime release Python's lock (predicting photos holds it for 3%
    of the time, by ``py-spy record --gil``), and all threads share one model. At most two items a worker are taken
    ahead. An error in ``work`` or ``items`` ends the iteration and cancels the items that have not started.
    """
    if workers == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
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
