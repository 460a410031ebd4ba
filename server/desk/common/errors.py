"""Errors that only the desk answers with; the others are in `server.common.errors`."""

from __future__ import annotations

from server.common.errors import ApiError

__all__ = ["MALFORMED", "Unauthorized"]

MALFORMED = 'Credentials malformed; expected form "Authorization: token abc123"'


class Unauthorized(ApiError):
    """No token, an unknown one, or one without the right (ACL) that the method needs."""

    code = 401
