"""The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), as MongoDB's drivers speak it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stringprep
import unicodedata
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from server.embedded.documents.errors import Code, CommandError

ITERATIONS = 15_000


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is kept of a password."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    def as_document(self) -> dict[str, Any]:
        return asdict(self)


def make_credentials(password: str) -> Credentials:
    """The credentials of a new password, with a salt of their own."""
    salt = os.urandom(28)
    salted = hashlib.pbkdf2_hmac("sha256", _prepare(password).encode(), salt, ITERATIONS)
    client_key = _hmac(salted, b"Client Key")
    return Credentials(salt, ITERATIONS, hashlib.sha256(client_key).digest(), _hmac(salted, b"Server Key"))


def _prepare(password: str) -> str:
    """SASLprep (RFC 4013) without its refusals."""
    mapped = "".join(
        " " if stringprep.in_table_c12(c) else c for c in password if not stringprep.in_table_b1(c)
    )
    return unicodedata.normalize("NFKC", mapped)


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")


def _failed() -> CommandError:
    return CommandError(Code.AuthenticationFailed, "Authentication failed.")


class Conversation:
    """One login: `first`, then `next` until it is done; then `user` has logged in."""

    def __init__(self, find: Callable[[str], Credentials | None], skip_empty: bool) -> None:
        self._find, self._skip_empty = find, skip_empty
        self._verified = False
        self.user = ""

    def first(self, payload: bytes) -> bytes:
        """Answer the client's first message with salt and nonce."""
        try:
            header, _, bare = payload.decode().partition(",,")
            fields = _fields(bare)
            self.user = fields["n"].replace("=2C", ",").replace("=3D", "=")
            nonce = fields["r"]
        except (UnicodeDecodeError, KeyError):
            raise _failed() from None
        if header not in ("n", "y"):
            raise _failed()
        # an unknown user is told nothing other than a wrong password
        self._credentials = self._find(self.user) or make_credentials(os.urandom(16).hex())
        self._nonce = nonce + base64.b64encode(os.urandom(24)).decode()
        salt = base64.b64encode(self._credentials.salt).decode()
        answer = f"r={self._nonce},s={salt},i={self._credentials.iterations}"
        self._signed = f"{bare},{answer}"
        return answer.encode()

    def next(self, payload: bytes) -> tuple[bytes, bool]:
        """Check the client's proof, and give the server's; then an empty message may follow."""
        if self._verified:
            return b"", True
        try:
            text = payload.decode()
            fields = _fields(text)
            proof = base64.b64decode(fields["p"], validate=True)
        except (ValueError, KeyError):
            raise _failed() from None
        signed = f"{self._signed},{text.rpartition(',p=')[0]}".encode()
        signature = _hmac(self._credentials.stored_key, signed)
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=False))
        stored = hashlib.sha256(client_key).digest()
        if fields.get("r") != self._nonce or not hmac.compare_digest(stored, self._credentials.stored_key):
            raise _failed()
        self._verified = True
        answer = b"v=" + base64.b64encode(_hmac(self._credentials.server_key, signed))
        return answer, self._skip_empty


def _fields(text: str) -> dict[str, str]:
    return {part[0]: part[2:] for part in text.split(",") if part[1:2] == "="}
