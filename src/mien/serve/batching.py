"""Faces of concurrent requests go through the network together: one run costs less than several.

A thread that has face crops runs the network itself if no other thread does. Otherwise it leaves its crops to that
thread, whose next run takes all crops that were left. So an idle service answers at once, and a busy one works in
batches. Waiting some milliseconds for more faces, as is often done, was measured and gained nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Crops: TypeAlias = npt.NDArray[np.uint8]
Probabilities: TypeAlias = npt.NDArray[np.float64]
Pending: TypeAlias = tuple[Crops, asyncio.Future[Probabilities]]

MAX_BATCH_FACES = 64
"""A run with this many faces takes no further image. It exceeds this by the faces of its last image at most."""


class MicroBatcher:
    """Classifies the faces of several requests in one run of the network.

    Args:
        classify: face crops uint8 (N, S, S[, 3]) -> probabilities float64 (N, C). Called in several threads at a time.
        runs: how many runs may go on at a time.
        observe: called with the number of faces of each run.
    """

    def __init__(self, classify: Callable[[Crops], Probabilities], runs: int, observe: Callable[[int], None]) -> None:
        self._classify, self._free_runs, self._observe = classify, runs, observe
        self._pending: deque[Pending] = deque()
        self._lock = threading.Lock()

    def put(self, crops: Crops, result: asyncio.Future[Probabilities]) -> None:
        """Classify crops uint8 (N, S, S[, 3]), N from 0 up, in this thread or in one that is classifying already.

        Their probabilities become the result of the future, in the thread of its event loop.
        """
        with self._lock:
            self._pending.append((crops, result))
            if not self._free_runs:
                return
            self._free_runs -= 1
        while batch := self._next_batch():
            self._run(batch)

    def _next_batch(self) -> list[Pending]:
        """The batch of the next run; an empty one ends this thread's turn."""
        with self._lock:
            batch: list[Pending] = []
            faces = 0
            while self._pending and faces < MAX_BATCH_FACES:
                batch.append(self._pending.popleft())
                faces += len(batch[-1][0])
            self._free_runs += not batch
            return batch

    def _run(self, batch: list[Pending]) -> None:
        outcome: list[Probabilities] | Exception
        try:
            crops = np.concatenate([each for each, _ in batch])
            if len(crops):
                self._observe(len(crops))
            outcome = np.split(self._classify(crops), np.cumsum([len(each) for each, _ in batch])[:-1])
        except Exception as error:  # noqa: BLE001 - every request of the batch must get the error
            outcome = error
        # One wake-up of the event loop for the whole batch.
        batch[0][1].get_loop().call_soon_threadsafe(_deliver, batch, outcome)


def _deliver(batch: list[Pending], outcome: list[Probabilities] | Exception) -> None:
    for index, (_, result) in enumerate(batch):
        if result.done():  # its time ran out, or its client closed the connection
            continue
        if isinstance(outcome, Exception):
            result.set_exception(outcome)
        else:
            result.set_result(outcome[index])
