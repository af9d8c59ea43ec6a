"""Access control: bearer token and allowed hosts; other sites' pages could, by DNS rebinding, read the answers."""

import hmac
import ipaddress
import os
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mien.base.errors import ServeError
from mien.serve.schemas import ApiError

VARIABLE = "MIEN_TOKEN"
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750, section 2.1
MIN_TOKEN_LETTERS = 16
"""Shortest token. A shorter token could be guessed, because the number of attempts is not limited."""

_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?", re.IGNORECASE | re.ASCII)


def find_token(file: Path | None) -> str | None:
    """Return the token from a file, else from the environment variable, else None; ServeError (``token``).

    There is no option for the token itself, because all users of a machine can see the arguments of its programs.
    """
    if file is None:
        text = os.environ.get(VARIABLE)
        return None if text is None else checked_token(text.strip(), VARIABLE)
    try:
        return checked_token(file.read_text(encoding="utf-8-sig").strip(), str(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ServeError(f"The token in {file} cannot be read: {reason}.", code="token") from None


def checked_token(token: str, place: str = "token") -> str:
    """Return a token that clients can send. Raises ServeError (``token``): other characters, or too short."""
    if not (isinstance(token, str) and _TOKEN.fullmatch(token) and len(token) >= MIN_TOKEN_LETTERS):
        message = f"{place} holds no token: {MIN_TOKEN_LETTERS} or more letters, digits and -._~+/ without spaces."
        raise ServeError(f"{message} Try: openssl rand -hex 24", code="token")
    return token


def require_token(token: str) -> Callable[..., Awaitable[None]]:
    """Make a FastAPI dependency that refuses requests without this token, compared in constant time."""
    bearer = HTTPBearer(auto_error=False, description="The service's token.")

    async def check(request: Request, given: HTTPAuthorizationCredentials | None = Depends(bearer)) -> None:  # noqa: B008
        if given is None or not is_token(given.credentials, token):
            raise ApiError("Send the header 'Authorization: Bearer TOKEN' with the right token.", code="unauthorised")

    return check


def is_token(given: str, token: str) -> bool:
    """Compare a token in constant time, so that the time reveals nothing about it."""
    return hmac.compare_digest(given.encode(), token.encode())


def is_host_names(names: object) -> bool:
    """Return whether these are several names without port, path or pattern, which no request's host could equal."""
    return isinstance(names, list | tuple) and all(isinstance(name, str) and _HOST.fullmatch(name) for name in names)


class CheckOrigin:
    """ASGI middleware that refuses requests to other hosts (``foreign-host``) or from other sites (``foreign-origin``).

    Allowed hosts are IP addresses, ``localhost``, the machine's name and names allowed by the user, without ports,
    whose pages may also send requests. IP addresses are safe, because DNS rebinding needs a name.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str] = ()) -> None:
        self.app: ASGIApp = app
        self._allowed = {name.lower() for name in allowed}
        self._own = {"localhost", socket.gethostname().lower()} | self._allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and pass it on or refuse it."""
        error = None if scope["type"] == "lifespan" else self._error(Headers(scope=scope))
        if error is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Closing before accepting gives the client status 403.
            await send({"type": "websocket.close", "code": 1008, "reason": error.code})
        else:
            await error.response(scope)(scope, receive, send)

    def _error(self, headers: Headers) -> ApiError | None:
        # Browsers always send a host. A request without one, such as a health check in HTTP/1.0, is allowed.
        host, origin = headers.get("host"), headers.get("origin")
        if host is not None and not self._is_own(_name(f"//{host}")):
            return ApiError("This host name is not allowed; --allow-host NAME would allow it.", code="foreign-host")
        same = (origin or "").partition("://")[2].lower() == (host or "").lower()
        if origin is not None and not same and _name(origin) not in self._allowed:
            message = "Pages of this site may not use the service; --allow-host NAME would allow its host."
            return ApiError(message, code="foreign-origin")
        return None

    def _is_own(self, name: str) -> bool:
        with suppress(ValueError):
            return name in self._own or bool(ipaddress.ip_address(name))
        return False


def _name(url: str) -> str:
    with suppress(ValueError):
        return (urlsplit(url).hostname or "").lower()
    return ""
