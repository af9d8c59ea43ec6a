"""The bearer token of the service, if it asks for one."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from mien.errors import ServeError
from mien.serve.api_errors import ApiError

VARIABLE = "MIEN_TOKEN"
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750, section 2.1


def find_token(file: Path | None) -> str | None:
    """The token in a file, else in the environment variable, else None. There is no option for the token itself,
    because every user of a machine sees the arguments of its programs.

    Raises:
        ServeError: the file cannot be read (``token-unreadable``), or there is no token in it (``token-invalid``).
    """
    if file is None:
        text, place = os.environ.get(VARIABLE), VARIABLE
        if text is None:
            return None
    else:
        place = str(file)
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ServeError(f"The token in {place} cannot be read: {reason}.", code="token-unreadable") from None
    token = text.strip()
    if not _TOKEN.fullmatch(token):
        raise ServeError(
            f"{place} does not hold a token: expected letters, digits and -._~+/ without spaces.", code="token-invalid"
        )
    return token


def require_token(token: str) -> Callable[..., Awaitable[None]]:
    """Make a FastAPI dependency that refuses requests without this token. It compares in constant time."""
    expected = token.encode()
    bearer = HTTPBearer(auto_error=False, description="The service's token.")

    async def check(request: Request, given: HTTPAuthorizationCredentials | None = Depends(bearer)) -> None:  # noqa: B008
        if given is None or not hmac.compare_digest(given.credentials.encode(), expected):
            raise ApiError("Send the header 'Authorization: Bearer TOKEN' with the right token.", code="unauthorised")

    return check
