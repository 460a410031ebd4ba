"""Secrets at rest: encrypted in the database with a key that only the installation has."""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken

from server.rest.context import Context

__all__ = ["SealError", "seal", "unseal"]


class SealError(ValueError):
    """A secret in the database was written by an installation with another key."""


def _fernet(ctx: Context) -> Fernet:
    key = hashlib.sha256(b"credentials:" + ctx.secret.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))


def seal(ctx: Context, text: str) -> str:
    """The text encrypted; an empty one stays empty."""
    return _fernet(ctx).encrypt(text.encode()).decode() if text else ""


def unseal(ctx: Context, sealed: str) -> str:
    """The text that was sealed. Raises SealError."""
    if not sealed:
        return ""
    try:
        return _fernet(ctx).decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise SealError(SealError.__doc__) from None
