"""Several processes that serve one port. Each is a whole service; the first process starts, stops and replaces them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess

from fastapi import FastAPI
from prometheus_client.multiprocess import mark_process_dead

from mien.errors import MienError, ServeError
from mien.faces.find import limit_opencv_threads
from mien.serve.limits import Limits
from mien.serve.prometheus import FOLDER_VARIABLE
from mien.serve.server import run

RESTART_SECONDS = 0.5
"""Pause before a worker is replaced, so that one that cannot start does not take a core."""

_STOPS = (signal.SIGINT, signal.SIGTERM)
_LOG = logging.getLogger(__name__)


def run_workers(
    make_app: Callable[[], FastAPI], listener: socket.socket, limits: Limits, *, workers: int, threads: int
) -> None:
    """Serve with several processes as :func:`mien.serve.server.run` does with one, until SIGTERM or Ctrl-C.

    Workers take connections from the same listening socket. Signals are passed on to them, so that each drains and
    stops as a single service does; uvicorn's own supervisor cannot drain. A worker that ends by itself is replaced.
    When this process is killed, the workers stop.

    Args:
        make_app: makes the service. It is called in each worker, so it must be picklable.
        listener: a listening socket.
        limits: of each worker.
        workers: processes.
        threads: OpenCV's threads in each worker.

    Raises:
        KeyboardInterrupt: after a stop by Ctrl-C.
        ServeError: Windows, which lacks the signals (``workers-unsupported``).
    """
    if os.name != "posix":
        raise ServeError(
            "--workers needs Linux or macOS. Start several services on different ports instead.",
            code="workers-unsupported",
        )
    signals, signalled = multiprocessing.Pipe(duplex=False)
    for number in _STOPS:
        signal.signal(number, lambda number, frame: signalled.send(number))
    work = partial(_work, make_app, listener, limits, threads)
    asked: list[int] = []
    with _shared_counters() as folder:
        running = [_start(work) for _ in range(workers)]
        while running:
            if signals in wait([signals, *(process.sentinel for process in running)]):
                asked.append(signals.recv())
                for process in running:
                    # Starting a worker also waits for those that have ended: their process ids are gone.
                    if process.pid and process.is_alive():
                        os.kill(process.pid, asked[-1])
            for process in [each for each in running if not each.is_alive()]:
                running.remove(process)
                mark_process_dead(process.pid, folder)  # type: ignore[no-untyped-call]
                if not asked:
                    _LOG.warning("Worker %s ended (exit code %s). Starting another.", process.pid, process.exitcode)
                    time.sleep(RESTART_SECONDS)
                    running.append(_start(work))
    if signal.SIGINT in asked:
        raise KeyboardInterrupt


def _start(work: Callable[[], None]) -> SpawnProcess:
    """Start a worker with signals blocked: Python would print a traceback about one while it starts."""
    process = multiprocessing.get_context("spawn").Process(target=work)
    # The first process that is spawned starts this tracker, which would unblock the signals.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    process.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process


def _work(make_app: Callable[[], FastAPI], listener: socket.socket, limits: Limits, threads: int) -> None:
    """Be a worker."""
    # A terminal's Ctrl-C goes to its whole process group. The first process passes it on, so once is enough.
    os.setpgrp()
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    limit_opencv_threads(threads)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        run(make_app(), listener, limits, shared=True)
    except KeyboardInterrupt:
        pass  # the first process says so
    except MienError as error:
        sys.exit(f"mien: {error} [{error.code}]")


def _stop_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _shared_counters() -> Iterator[str]:
    """A folder in which all workers count; see :meth:`mien.serve.prometheus.ServiceMetrics.page`."""
    with tempfile.TemporaryDirectory(prefix="mien-serve-") as folder:
        os.environ[FOLDER_VARIABLE] = folder
        try:
            yield folder
        finally:
            del os.environ[FOLDER_VARIABLE]
