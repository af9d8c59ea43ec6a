"""Faces of concurrent requests go through the network together: one run costs less than several.

A thread takes whatever waits and runs it; while it runs, the next faces gather. It waits for more, and briefly, only
where it knows of pictures that are being decoded at that moment. So an idle service answers at once.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Squares: TypeAlias = npt.NDArray[np.uint8]
Shares: TypeAlias = npt.NDArray[np.float64]

LARGEST = 64
"""Faces in one run, unless one request has more."""

WAIT_SECONDS = 0.002
"""For pictures that are being decoded."""


@dataclass(frozen=True)
class _Waiting:
    squares: Squares
    answer: asyncio.Future[Shares]


class MicroBatcher:
    """Reads the faces of several requests in one run of the network, in one thread.

    Args:
        read: uint8 (N, S, S) -> float64 (N, C), N from 0 up.
        loop: where the answers are awaited.
        observe: is told how many faces each run had, in the batcher's thread.
    """

    def __init__(
        self,
        read: Callable[[Squares], Shares],
        loop: asyncio.AbstractEventLoop,
        observe: Callable[[int], None] = lambda faces: None,
    ) -> None:
        self._read, self._loop, self._observe = read, loop, observe
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._coming, self._lock = 0, threading.Lock()
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def expect(self, pictures: int) -> None:
        """Say that so many more pictures (or, below 0, fewer) are on their way and worth a moment."""
        with self._lock:
            self._coming += pictures

    def put(self, squares: Squares, answer: asyncio.Future[Shares]) -> None:
        """Read these faces and give ``answer`` their probabilities, in its own loop. From any thread."""
        self._queue.put(_Waiting(squares, answer))

    @property
    def works(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Read what waits, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, last = self._gather(first)
            self._answer(batch)
            if last:
                return

    def _gather(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        batch, faces, until = [first], len(first.squares), time.monotonic() + WAIT_SECONDS
        while faces < LARGEST:
            seconds = until - time.monotonic() if self._coming else 0.0
            try:
                following = self._queue.get(timeout=seconds) if seconds > 0 else self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                return batch, True
            batch.append(following)
            faces += len(following.squares)
        return batch, False

    def _answer(self, batch: list[_Waiting]) -> None:
        results: list[Shares] | Exception
        try:
            squares = np.concatenate([each.squares for each in batch])
            self._observe(len(squares))
            ends = np.cumsum([len(each.squares) for each in batch])[:-1]
            results = np.split(self._read(squares), ends)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            results = error
        # One wake-up of the loop for the whole batch.
        self._loop.call_soon_threadsafe(_deliver, batch, results)


def _deliver(batch: list[_Waiting], results: list[Shares] | Exception) -> None:
    for index, each in enumerate(batch):
        if each.answer.done():  # given up on: its time was over, or its client went away
            continue
        if isinstance(results, Exception):
            each.answer.set_exception(results)
        else:
            each.answer.set_result(results[index])
