"""Opens the port and runs the app on it until SIGTERM or Ctrl-C."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from mien.errors import ServeError
from mien.serve.connections import OncePerMinute, bounded_connections
from mien.serve.limits import Limits

QUEUE = 2048
"""Connections that may wait to be accepted."""


def open_port(host: str, port: int) -> socket.socket:
    """Listen on a port; 0 takes any free port.

    Raises:
        ServeError: the port is in use or not allowed, or this machine does not have the address (``port-unavailable``).
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio sets TCP_NODELAY on accepted connections only if the protocol is named. socket.create_server names
        # none, and then every answer waits 40 ms for the client's delayed acknowledgement.
        listener = socket.socket(family, kind, protocol or socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        raise _port_unavailable(host, port, error) from None
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(QUEUE)
    except OSError as error:
        listener.close()
        raise _port_unavailable(host, port, error) from None
    return listener


def _port_unavailable(host: str, port: int, error: Exception) -> ServeError:
    reason = getattr(error, "strerror", None) or str(error)
    return ServeError(
        f"Cannot listen on {host} port {port}: {reason}. Choose another address with --host and --port.",
        code="port-unavailable",
    )


def address(listener: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_local(listener: socket.socket) -> bool:
    """Whether only this machine can reach it."""
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def run(app: FastAPI, listener: socket.socket, limits: Limits, *, shared: bool = False) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the requests under way. A second Ctrl-C waits for no client.

    With ``limits.drain_seconds``, SIGTERM first makes ``/readyz`` say no for that long; a second one waits no longer.

    Args:
        app: the service.
        listener: a listening socket.
        limits: of connections and time.
        shared: other processes accept connections from the listener too.

    Raises:
        KeyboardInterrupt: after a stop by Ctrl-C.
    """
    connections = bounded_connections(limits)
    config = uvicorn.Config(
        app,
        # uvicorn's h11 protocol with limits; the tests hold how it handles unread bodies.
        http=connections.protocol(),
        # One connection in a turn leaves the next to a process that is idle.
        backlog=1 if shared else connections.backlog,
        ws="none",
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        # An access log would name the addresses of clients; /metrics counts requests.
        access_log=False,
        # Its warnings are about what clients send: bytes that are not HTTP, or a request to upgrade.
        log_level="error",
        timeout_graceful_shutdown=round(limits.body_seconds + limits.work_seconds) + 5,
    )
    silence_logs()
    server, asked = _Server(config, app.state.drain, limits.drain_seconds), []

    def stop(number: int, frame: FrameType | None) -> None:
        # Called for signals before uvicorn handles them itself, and again at its end for those that it handled.
        asked.append(number)
        server.handle_exit(number, frame)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server.run(sockets=[listener])
    # A stop by SIGTERM is not a failure.
    if signal.SIGINT in asked:
        raise KeyboardInterrupt


def silence_logs() -> None:
    """Keep what clients send out of the log of this process."""
    logging.getLogger("asyncio").addFilter(OncePerMinute())
    for name in ("python_multipart", "PIL"):  # they quote forms and images
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Pillow and NumPy warn about odd images. Filters belong to the process, so a thread cannot change them for a while.
    warnings.simplefilter("ignore")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, drain: Callable[[], None], drain_seconds: float) -> None:
        super().__init__(config)
        self._drain, self._drain_seconds, self._drains = drain, drain_seconds, False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGTERM or not self._drain_seconds or self._drains:
            super().handle_exit(sig, frame)
            return
        self._drains = True
        self._drain()
        timer = threading.Timer(self._drain_seconds, super().handle_exit, (sig, None))
        timer.daemon = True
        timer.start()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # uvicorn has one number for the queue and for the connections accepted in one turn. The latter must be small.
        for listener in sockets or ():
            listener.listen(QUEUE)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.force_exit:
            # A second Ctrl-C asks for an end, not for a list of what was broken off.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await self.lifespan.shutdown()
