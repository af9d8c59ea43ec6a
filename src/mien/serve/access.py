"""Who may ask: nobody is asked for anything, or everybody for one bearer token."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from mien.errors import ServeError
from mien.serve.refusals import RefusedError

VARIABLE = "MIEN_TOKEN"
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750, section 2.1


def find_token(file: Path | None) -> str | None:
    """The token of a file, else of the environment variable, else None. Arguments are seen by every user of a machine.

    Raises:
        ServeError: a file that cannot be read, or that holds no token.
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
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ServeError(f"{place}: the token cannot be read: {reason}.") from None
    token = text.strip()
    if not _TOKEN.fullmatch(token):
        raise ServeError(f"{place} holds no token: letters, digits and -._~+/ without spaces.")
    return token


def checks_token(token: str) -> Callable[..., Awaitable[None]]:
    """A dependency that refuses requests without this token, in a time that says nothing about it."""
    expected = token.encode()
    bearer = HTTPBearer(auto_error=False, description="The service's token.")

    async def check(request: Request, given: HTTPAuthorizationCredentials | None = Depends(bearer)) -> None:  # noqa: B008
        if given is None or not hmac.compare_digest(given.credentials.encode(), expected):
            raise RefusedError("unauthorised", "Send the header 'Authorization: Bearer TOKEN' with the right token.")

    return check
