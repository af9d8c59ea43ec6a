"""Keeps pages of other sites out: they could post to the service, and by DNS rebinding read its answers."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mien.errors import ServeError
from mien.serve.api_errors import ApiError

_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?", re.IGNORECASE | re.ASCII)


def check_host_names(names: Sequence[str]) -> None:
    """Refuse what no request's host could equal: a port, an address, a pattern. Raises ServeError (``host-name``)."""
    for name in names:
        if not _HOST.fullmatch(name):
            raise ServeError(
                f"--allow-host {name!r} is not a host name. Give the name alone, such as faces.example.org, without "
                "scheme, port and path; it is allowed at every port.",
                code="host-name",
            )


def page_origins(hosts: Sequence[str]) -> str:
    """A regular expression for the origins of pages of these hosts, at any port."""
    return rf"https?://({'|'.join(re.escape(name.lower()) for name in hosts)})(:[0-9]+)?"


class CheckOrigin:
    """Refuses requests for other hosts (``foreign-host``) and from pages of other sites (``foreign-origin``).

    A host is the service's own if it is an IP address, ``localhost``, this machine's name or one that the user allows.
    An address cannot be rebound: a browser that asks for one sends nothing of another site's name.

    Args:
        app: the service.
        allowed: further host names, without ports; pages of these hosts may ask too.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str] = ()) -> None:
        self.app: ASGIApp = app
        self._allowed = {name.lower() for name in allowed}
        self._own = {"localhost", socket.gethostname().lower()} | self._allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            # Browsers send a host; what sends none, such as a health check in HTTP/1.0, is no browser.
            host, origin = headers.get("host"), headers.get("origin")
            error = None
            if host is not None and not self._is_own(host):
                error = ApiError(
                    "This host name is not allowed; add it with mien serve --allow-host NAME.", code="foreign-host"
                )
            elif origin is not None and not self._may_ask(origin, host):
                error = ApiError(
                    "Pages of this site may not use the service; allow its host with mien serve --allow-host NAME.",
                    code="foreign-origin",
                )
            if error is not None:
                await error.response(scope)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_own(self, host: str) -> bool:
        name = _name(f"//{host}")
        return name in self._own or _is_address(name)

    def _may_ask(self, origin: str, host: str | None) -> bool:
        own = origin.partition("://")[2].lower() == (host or "").lower()
        return own or _name(origin) in self._allowed


def _name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
