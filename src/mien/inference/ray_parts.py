"""Parts of :mod:`mien.inference.parts`, computed by workers of Ray Data.

A part's images and predictions never pass through Ray: a worker is given the number of a part and returns how many rows
it wrote. So memory does not grow with the images, and a worker that dies is started again with the same part.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from mien.cluster import start_ray
from mien.errors import MienError, RunError
from mien.inference.parts import PartCounts, PartsJob, PartWorker

_FAILED = "failed"


def _worker_class(job: PartsJob) -> type:
    """What Ray Data starts in each worker process. The job is a part of it: a worker that starts again finds it."""

    class Worker:
        def __init__(self) -> None:
            self._worker = PartWorker(job)

        def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
            part = int(row["id"])
            try:
                return {**asdict(self._worker.write(part)), _FAILED: "", "code": ""}
            except MienError as error:
                # A value, because Ray would wrap it into its traceback.
                return {**asdict(PartCounts(part, 0, 0, 0)), _FAILED: str(error), "code": error.code}

    return Worker


def write_parts(job: PartsJob, parts: Sequence[int], workers: int | None = None) -> Iterator[PartCounts]:
    """Compute parts in worker processes, each on one core, and yield what each came to as it ends.

    Args:
        job: what to do.
        parts: their numbers; at least one.
        workers: how many at once; None is a worker for each core of the cluster.

    Raises:
        MissingExtraError: Ray is not installed.
        RunError: there is no cluster; a worker could not write.
    """
    ray = start_ray()
    from ray.data import ActorPoolStrategy, DataContext

    # It says that it shows no bar, which is mien's, and that it has ended.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    size = min(workers or int(ray.cluster_resources().get("CPU", 1)), len(parts))
    try:
        rows = ray.data.from_items([{"id": part} for part in parts], override_num_blocks=len(parts)).map(
            _worker_class(job),
            compute=ActorPoolStrategy(size=size),
            num_cpus=1,
        )
        for row in rows.iter_rows():
            if row[_FAILED]:
                raise RunError(row[_FAILED], code=row["code"])
            yield PartCounts(row["part"], row["images"], row["faces"], row["unreadable"])
    finally:
        ray.shutdown()
