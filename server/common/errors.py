"""Errors that the REST API answers with.

    ApiError
    ├── BadRequest      400  the request is wrong; the text names field and reason
    ├── Forbidden       403  no valid token, or not allowed
    ├── NotFound        404
    ├── Conflict        409  not possible in the present state, or already there
    ├── Gone            410  it was here; the text says where it is now
    ├── TooLarge        413
    ├── Unprocessable   422  well formed, but the thing it names cannot do that
    ├── TooManyRequests 429
    ├── Unavailable     503  a part that we need does not answer
    └── InsufficientStorage  507  there is no room for it; the text says how to make some
"""

from __future__ import annotations

import re

__all__ = ["ApiError", "BadRequest", "Conflict", "Forbidden", "Gone", "InsufficientStorage", "NotFound",
           "TooLarge", "TooManyRequests", "Unavailable", "Unprocessable", "error_body", "status_line"]


class ApiError(Exception):
    """An answer that is an error: a status code and a text for the caller."""

    code = 500

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BadRequest(ApiError):
    """The request is wrong: the text names the field and what is wrong with it."""

    code = 400


class Forbidden(ApiError):
    """There is no valid token, or the caller may not do this."""

    code = 403


class NotFound(ApiError):
    """There is no such thing, or none that the caller may see."""

    code = 404


class Conflict(ApiError):
    """It is not possible in the present state, or it is there already."""

    code = 409


class Gone(ApiError):
    """It was here; the text says where it is now."""

    code = 410


class TooLarge(ApiError):
    """The request is larger than it may be."""

    code = 413


class Unprocessable(ApiError):
    """The request is well formed, but what it names cannot do that."""

    code = 422


class TooManyRequests(ApiError):
    """The caller asks too often; `retry_after` in whole seconds."""

    code = 429

    def __init__(self, reason: str, retry_after: int = 1) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Unavailable(ApiError):
    """A part that is needed does not answer now; it may do so later, at best in `retry_after` seconds."""

    code = 503

    def __init__(self, reason: str, retry_after: int = 0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class InsufficientStorage(ApiError):
    """There is no room for it; the text says how to make some."""

    code = 507


def error_body(code: int, reason: str) -> dict[str, object]:
    """The body of every error: each API family's key for the text, all with the same text."""
    return {"code": code, "error": reason, "reason": reason, "message": reason}


def status_line(reason: str) -> str:
    """A short form that is safe in the HTTP status line (clients of IceProd read only that)."""
    return re.sub(r"[^\x20-\x7e]|[<>]", "?", reason)[:120] or "Error"
