"""Opens the port and runs the app on it until SIGTERM or Ctrl-C."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import warnings
from types import FrameType

import uvicorn
from fastapi import FastAPI

from mien.errors import ServeError
from mien.serve.connections import SaidOnceAMinute, bounded_connections
from mien.serve.limits import Limits

QUEUE = 2048
"""Connections that wait to be accepted."""


def open_port(host: str, port: int) -> socket.socket:
    """Listen there; 0 takes any free port.

    Raises:
        ServeError: the port is in use or not allowed, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol named, asyncio sets TCP_NODELAY on what is accepted. socket.create_server names none, and
        # every answer then waits 40 ms for the client's delayed acknowledgement.
        listener = socket.socket(family, kind, protocol or socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        raise _refused(host, port, error) from None
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(QUEUE)
    except OSError as error:
        listener.close()
        raise _refused(host, port, error) from None
    return listener


def _refused(host: str, port: int, error: Exception) -> ServeError:
    reason = getattr(error, "strerror", None) or str(error)
    return ServeError(f"{host} port {port} cannot be listened on: {reason}. Choose another with --host and --port.")


def address(listener: socket.socket) -> str:
    """Where a browser finds it."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_local(listener: socket.socket) -> bool:
    """Whether only this machine can reach it."""
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(app: FastAPI, listener: socket.socket, limits: Limits) -> None:
    """Serve until told to stop, and then finish what is under way; told twice by Ctrl-C, wait for no client.

    Raises:
        KeyboardInterrupt: it was Ctrl-C, when all is done.
    """
    connections = bounded_connections(limits)
    config = uvicorn.Config(
        app,
        # uvicorn's own, with bounds; the one whose handling of bodies that are left unread the tests know.
        http=connections.protocol(),
        backlog=connections.backlog,
        ws="none",
        lifespan="on",
        proxy_headers=False,
        server_header=False,
        # An access log would name addresses of clients; /metrics counts.
        access_log=False,
        # Its warnings are of what clients send: bytes that are no HTTP, a wish to upgrade.
        log_level="error",
        timeout_graceful_shutdown=round(limits.body_seconds + limits.work_seconds) + 5,
    )
    keep_quiet()
    server, asked = _Server(config), []

    def stop(number: int, frame: FrameType | None) -> None:
        # Here come those before uvicorn listens for them, and once more, at its end, those that it heard.
        asked.append(number)
        server.handle_exit(number, frame)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server.run(sockets=[listener])
    # Being asked to stop by SIGTERM is no failure.
    if signal.SIGINT in asked:
        raise KeyboardInterrupt


def keep_quiet() -> None:
    """Let no client write into the log of this process, be it of what a picture holds."""
    logging.getLogger("asyncio").addFilter(SaidOnceAMinute())
    for name in ("python_multipart", "PIL"):  # they quote forms and pictures
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Pillow and NumPy warn of odd pictures, and what a thread ignores for a while another may turn on again.
    warnings.simplefilter("ignore")


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # uvicorn has one number for the queue and for what is accepted in one turn; the second has to be small.
        for listener in sockets or ():
            listener.listen(QUEUE)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.force_exit:
            # Who asks twice wants an end, not an account of what is broken off.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await self.lifespan.shutdown()
