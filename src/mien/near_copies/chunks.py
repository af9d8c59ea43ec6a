"""Work on many images a chunk at a time, on every core."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mien.processes import available_cores
from mien.progress import slices, track

CHUNK = 512
Array = TypeVar("Array", bound=npt.NDArray[Any])


def in_chunks(work: Callable[[slice], Array], count: int, what: str) -> Array:
    """``work`` of each slice of ``count`` items, at least one, joined in their order.

    Threads and not processes: numpy's products release Python's lock. The result does not depend on their number.
    """
    parts = slices(count, CHUNK)
    with ThreadPoolExecutor(min(available_cores(), len(parts))) as pool:
        return np.concatenate(list(track(pool.map(work, parts), len(parts), what, "chunks")))  # type: ignore[return-value]
