"""Open the port and run the service in one or several processes, until SIGTERM or Ctrl-C.

uvicorn handles HTTP, stops gracefully and replaces workers. Its limits are enough for trusted clients or behind a
proxy. For the open internet, ``compose.internet.yaml`` puts a proxy in front that disconnects slow clients.
"""

import ipaddress
import logging
import os
import socket
import tempfile
import threading
import warnings
import webbrowser
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from prometheus_client import disable_created_metrics
from uvicorn.supervisors import Multiprocess

from mien.base.errors import ServeError
from mien.base.progress import set_quiet
from mien.serve.limits import Limits
from mien.serve.metrics import FOLDER_VARIABLE

QUEUE = 2048
"""Largest number of connections that wait to be accepted."""


def open_port(host: str, port: int) -> socket.socket:
    """Listen on a port; 0 chooses a free one. Raises ServeError (``port-unavailable``)."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address, family=family, backlog=QUEUE)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"Cannot listen on {host} port {port}: {reason}. Choose others with --host and --port."
        raise ServeError(message, code="port-unavailable") from None
    # Accepted connections inherit it. Otherwise every answer would wait 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def address(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_local(listener: socket.socket) -> bool:
    """Return whether only this machine can connect."""
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def run(app: FastAPI, listener: socket.socket, limits: Limits, page: str = "") -> None:
    """Serve until SIGTERM or Ctrl-C, which raises KeyboardInterrupt; finish active requests. Open ``page``, if any."""
    silence_logs()
    if page:
        # The port is open, so the browser waits for the service. A browser in a terminal would block this thread.
        threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()
    # Otherwise each counter and histogram would have another line with its creation time.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    uvicorn.Server(_config(app, limits)).run(sockets=[listener])


def run_workers(make_app: Callable[[], FastAPI], listener: socket.socket, limits: Limits, workers: int) -> None:
    """Serve with several processes that share the port; each gets ``make_app`` by pickle. See :func:`run`."""
    # An unresponsive worker is replaced after 60 s. On a busy machine, a start takes longer than the default of 5 s.
    made = partial(_in_worker, make_app)
    config = _config(made, limits, factory=True, workers=workers, timeout_worker_healthcheck=60)
    # All workers count in this folder; see ServiceMetrics.page.
    with tempfile.TemporaryDirectory(prefix="mien-serve-") as folder:
        os.environ[FOLDER_VARIABLE] = folder
        try:
            Multiprocess(config, sockets=[listener]).run()
        finally:
            del os.environ[FOLDER_VARIABLE]


def _in_worker(make_app: Callable[[], FastAPI]) -> FastAPI:
    """Make the service in a worker. It prints no notices, because the first process did."""
    silence_logs()
    set_quiet(True)
    return make_app()


def _config(app: Callable[..., Any], limits: Limits, **named: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="websockets-sansio",
        ws_max_size=limits.max_bytes,
        # JPEG cannot be compressed further.
        ws_per_message_deflate=False,
        lifespan="on",
        backlog=QUEUE,
        limit_concurrency=limits.max_connections,
        h11_max_incomplete_event_size=limits.head_bytes,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=round(limits.body_seconds + limits.work_seconds) + 5,
        proxy_headers=False,
        server_header=False,
        # An access log would contain clients' addresses; /metrics counts requests instead.
        access_log=False,
        # uvicorn's warnings are about data of clients: bytes that are not HTTP, or requests to upgrade.
        log_level="error",
        **named,
    )


def silence_logs() -> None:
    """Keep the data of clients out of this process's log."""
    for name in ("python_multipart", "PIL"):  # their messages quote forms and images
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # Pillow and NumPy warn about odd images. Filters of warnings apply to the whole process, so a thread cannot set one
    # for a while.
    warnings.simplefilter("ignore")
