"""Limits of connections: their number, the time for a request's head, and the time for a client to take an answer.

uvicorn limits the pause between two requests and nothing else. Bodies are limited in upload.py.
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


@dataclass
class Connections:
    """What all connections share.

    Attributes:
        max_connections: at a time.
        backlog: connections that are accepted in one turn of the event loop, before any can be counted.
        head_seconds: time for the head of a request.
        taken_bytes: bytes of an answer that a client must take in ``taking_seconds``.
        taking_seconds: see ``taken_bytes``.
        waiting: connections without a request, the one that has waited longest first.
    """

    max_connections: int
    backlog: int
    head_seconds: float
    taken_bytes: int
    taking_seconds: float
    waiting: dict[BoundedProtocol, None] = field(default_factory=dict)

    def protocol(self) -> Any:
        """The factory of uvicorn's protocol for each connection."""
        return partial(BoundedProtocol, shared=self)


def bounded_connections(limits: Limits) -> Connections:
    """Limits that fit the files that the process may open: each connection is one, and may need one more to send."""
    files = _raise_file_limit(limits.max_open_files)
    return Connections(
        max_connections=min(files // 3, limits.max_connections),
        backlog=min(files // 16, 256),
        head_seconds=min(limits.head_seconds, limits.body_seconds),
        taken_bytes=limits.taken_bytes,
        taking_seconds=limits.body_seconds,
    )


def _raise_file_limit(most: int) -> int:
    """Ask the system for up to so many open files; returns how many the process may open."""
    try:
        import resource
    except ImportError:  # Windows, whose select knows 512 sockets
        return 512
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return most
    wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)


class BoundedProtocol(H11Protocol):
    """A connection that is closed when it takes too long, or when it is idle and another needs its place."""

    def __init__(self, *arguments: Any, shared: Connections, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._shared = shared
        self._head_timer: asyncio.TimerHandle | None = None
        self._taking_timer: asyncio.TimerHandle | None = None
        self._left_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection. If there are too many, close the one that has waited longest."""
        super().connection_made(transport)
        # With 0, pause_writing and resume_writing tell whether the client has anything left to take.
        transport.set_write_buffer_limits(high=0)
        if len(self.connections) > self._shared.max_connections:
            next(iter(self._shared.waiting), self)._cut()
        if not transport.is_closing():
            self._watch_head(timed=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers of the connection."""
        super().connection_lost(exc)
        self._stop_waiting()
        self._stop_taking()

    def data_received(self, data: bytes) -> None:
        """Parse bytes. The first bytes of a head start its time limit; later ones do not extend it."""
        super().data_received(data)
        self._watch_head(timed=True)

    def on_response_complete(self) -> None:
        """Wait for the next request, within uvicorn's own time limit."""
        super().on_response_complete()
        self._watch_head(timed=False)

    def pause_writing(self) -> None:
        """Start the time limit for the client to take the rest of an answer."""
        super().pause_writing()
        self._left_bytes = self.transport.get_write_buffer_size()
        self._taking_timer = self.loop.call_later(self._shared.taking_seconds, self._check_taking)

    def resume_writing(self) -> None:
        """Stop that time limit: the client has taken everything."""
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
        if self._left_bytes - left < self._shared.taken_bytes:
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


class OncePerMinute(logging.Filter):
    """Logs one record a minute, without its traceback: asyncio logs many in a second when files run out."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it. Records that are not about accepting connections are always logged."""
        if "socket.accept() out of system resource" not in record.getMessage():
            return True
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + 60
        record.msg, record.args = "No connection can be accepted: the process has too many open files.", ()
        record.exc_info = record.exc_text = None
        return True
