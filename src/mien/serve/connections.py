"""What one connection may cost: heads of requests and the reading of answers are timed, and there are only so many.

uvicorn times nothing but the pause between two requests; bodies are timed in form.py.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.serve.limits import Limits

MOST_FILES = 4096
"""Open files that the process asks the system for, where it has fewer."""

MOST_CONNECTIONS = 1024

HEAD_SECONDS = 10.0
"""For the head of a request, from its first byte or from the connection; less where the limit of bodies is less."""

TAKEN_BYTES = 65_536
"""Of an answer a client must take so much, or what is left, in the time that it has for a body."""


@dataclass
class Connections:
    """What all connections share.

    Attributes:
        most: at a time.
        backlog: connections accepted in one turn of the loop, before any can be counted.
        head_seconds: for the head of a request.
        taking_seconds: for :data:`TAKEN_BYTES` of an answer.
        waiting: those without a request under way, the one that waits longest first.
    """

    most: int
    backlog: int
    head_seconds: float
    taking_seconds: float
    waiting: dict[BoundedProtocol, None] = field(default_factory=dict)

    def protocol(self) -> Any:
        """What uvicorn makes a connection's protocol with."""
        return partial(BoundedProtocol, shared=self)


def bounded_connections(limits: Limits) -> Connections:
    """Bounds that fit the files that the process may open: each connection is one, and each may be sent another."""
    files = _most_files()
    return Connections(
        most=min(files // 3, MOST_CONNECTIONS),
        backlog=min(files // 16, 256),
        head_seconds=min(HEAD_SECONDS, limits.body_seconds),
        taking_seconds=limits.body_seconds,
    )


def _most_files() -> int:
    try:
        import resource
    except ImportError:  # Windows, whose select knows 512 sockets
        return 512
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_FILES
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)


class BoundedProtocol(H11Protocol):
    """A connection that is cut when it takes too long, or when others need its place while it asks for nothing."""

    def __init__(self, *arguments: Any, shared: Connections, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._shared = shared
        self._head_timer: asyncio.TimerHandle | None = None
        self._taking_timer: asyncio.TimerHandle | None = None
        self._left_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, in the place of the one that has waited longest where there are too many."""
        super().connection_made(transport)
        # So that pause_writing and resume_writing say when anything is left that the client has not taken.
        transport.set_write_buffer_limits(high=0)
        if len(self.connections) > self._shared.most:
            next(iter(self._shared.waiting), self)._cut()
        if not transport.is_closing():
            self._watch_head(timed=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        super().connection_lost(exc)
        self._stop_waiting()
        self._stop_taking()

    def data_received(self, data: bytes) -> None:
        """Read on. A request's first bytes start its head's time, and no later ones prolong it."""
        super().data_received(data)
        self._watch_head(timed=True)

    def on_response_complete(self) -> None:
        """Wait for the next request, in uvicorn's own time for that."""
        super().on_response_complete()
        self._watch_head(timed=False)

    def pause_writing(self) -> None:
        """Give the client time to take what is left of an answer."""
        super().pause_writing()
        self._left_bytes = self.transport.get_write_buffer_size()
        self._taking_timer = self.loop.call_later(self._shared.taking_seconds, self._check_taking)

    def resume_writing(self) -> None:
        """All is taken."""
        super().resume_writing()
        self._stop_taking()

    def _watch_head(self, timed: bool) -> None:
        if self.conn.their_state is not h11.IDLE or self.conn.our_state is not h11.IDLE:
            self._stop_waiting()
            return
        self._shared.waiting[self] = None
        if timed and self._head_timer is None:
            self._head_timer = self.loop.call_later(self._shared.head_seconds, self._cut)

    def _stop_waiting(self) -> None:
        self._shared.waiting.pop(self, None)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _check_taking(self) -> None:
        left = self.transport.get_write_buffer_size()
        if self._left_bytes - left < TAKEN_BYTES:
            self._cut()
            return
        self._left_bytes = left
        self._taking_timer = self.loop.call_later(self._shared.taking_seconds, self._check_taking)

    def _stop_taking(self) -> None:
        if self._taking_timer is not None:
            self._taking_timer.cancel()
            self._taking_timer = None

    def _cut(self) -> None:
        self._stop_waiting()
        self.transport.abort()


class SaidOnceAMinute(logging.Filter):
    """Lets one record a minute through, without its traceback: asyncio says many in a second when files run out."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is said. Whatever is not about accepting connections is."""
        if "socket.accept() out of system resource" not in record.getMessage():
            return True
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + 60
        record.msg, record.args = "No connection can be accepted: the process has too many open files.", ()
        record.exc_info = record.exc_text = None
        return True
