"""Ctrl-C that ends a run in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_current: threading.Event | None = None


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Let the first Ctrl-C end the epoch in order; a second one stops at once.

    Inside another such block the event is that block's, so that what ends a run ends the loop over runs too.
    """
    global _current
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    if _current is not None:
        yield _current
        return
    former = signal.getsignal(signal.SIGINT)

    def note(signum: int, frame: Any) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, former)

    signal.signal(signal.SIGINT, note)
    _current = interrupted
    try:
        yield interrupted
    finally:
        _current = None
        signal.signal(signal.SIGINT, former)
