"""Faces of concurrent requests go through the network together: one run costs less than several.

A thread that has decoded a picture runs the network itself if nobody does; otherwise it leaves its faces to whoever
does, whose next run takes all that were left. So an idle service loses nothing, and a busy one works in batches. To
wait some milliseconds for more faces, as is often done, was measured and brought nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Squares: TypeAlias = npt.NDArray[np.uint8]
Shares: TypeAlias = npt.NDArray[np.float64]

LARGEST = 64
"""A run that has so many faces takes no further picture's; it has more where its last picture brings them."""


@dataclass(frozen=True)
class Waiting:
    """Faces uint8 (N, S, S), N from 0 up, and where their probabilities float64 (N, C) are awaited."""

    squares: Squares
    answer: asyncio.Future[Shares]


class MicroBatcher:
    """Reads the faces of several requests in one run of the network.

    Args:
        read: uint8 (N, S, S) -> float64 (N, C). Called in several threads at a time.
        runs: how many.
        observe: is told how many faces each run has.
    """

    def __init__(self, read: Callable[[Squares], Shares], runs: int, observe: Callable[[int], None]) -> None:
        self._read, self._free_runs, self._observe = read, runs, observe
        self._waiting: deque[Waiting] = deque()
        self._lock = threading.Lock()

    def put(self, item: Waiting) -> None:
        """Have these faces read, in this thread or in another that is reading already."""
        with self._lock:
            self._waiting.append(item)
            if not self._free_runs:
                return
            self._free_runs -= 1
        while batch := self._next():
            self._answer(batch)

    def _next(self) -> list[Waiting]:
        """What the next run takes; nothing ends this thread's turn."""
        with self._lock:
            batch: list[Waiting] = []
            faces = 0
            while self._waiting and faces < LARGEST:
                batch.append(self._waiting.popleft())
                faces += len(batch[-1].squares)
            self._free_runs += not batch
            return batch

    def _answer(self, batch: list[Waiting]) -> None:
        results: list[Shares] | Exception
        try:
            squares = np.concatenate([each.squares for each in batch])
            if len(squares):
                self._observe(len(squares))
            results = np.split(self._read(squares), np.cumsum([len(each.squares) for each in batch])[:-1])
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            results = error
        # One wake-up of the loop for the whole batch.
        batch[0].answer.get_loop().call_soon_threadsafe(_deliver, batch, results)


def _deliver(batch: list[Waiting], results: list[Shares] | Exception) -> None:
    for index, each in enumerate(batch):
        if each.answer.done():  # given up on: its time was over, or its client went away
            continue
        if isinstance(results, Exception):
            each.answer.set_exception(results)
        else:
            each.answer.set_result(results[index])
