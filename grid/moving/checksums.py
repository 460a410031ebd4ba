"""Sizes and checksums of files: what was declared, what a server says, what was found.

Headers: ``Digest`` (RFC 3230), ``Repr-Digest`` (RFC 9530), ``Content-MD5`` (RFC 1864); ``ETag`` is the MD5 of
an object of S3 that was put in one part and is not encrypted with a key of its own. A manifest has lines as
``sha256sum`` writes them: digits, blanks, name; or ``kind=digits name``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from grid.moving.errors import TransferFailed
from iceprod.addresses import DIGITS, parse_checksum

__all__ = ["Expected", "digest", "in_manifest", "of_headers", "verify"]

_HEADER_NAMES = {"adler32": "adler32", "sha-256": "sha256", "sha-512": "sha512", "sha": "sha1", "md5": "md5"}
_BLOCK = 1 << 20
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True)
class Expected:
    """A checksum that a file should have, and who says so."""

    kind: str
    value: str
    declared: bool = False  # by the configuration or its manifest; else by the server


def of_headers(headers: Message, *, is_part: bool = False, is_s3: bool = False) -> list[Expected]:
    """The checksums of the whole file that an answer's headers tell; `is_part` of an answer with a part."""
    found = _listed(headers.get("Digest") or "") + _listed(headers.get("Repr-Digest") or "")
    if not is_part and (value := _from_base64(headers.get("Content-MD5") or "")):
        found.append(("md5", value))
    etag = (headers.get("ETag") or "").strip('"').lower()
    encrypted = headers.get("x-amz-server-side-encryption-customer-algorithm") or "kms" in (
        headers.get("x-amz-server-side-encryption") or "")
    if is_s3 and not encrypted and len(etag) == 32 and _HEX.fullmatch(etag):
        found.append(("md5", etag))
    return [Expected(kind, value) for kind, value in found if len(value) == DIGITS[kind]]


def _listed(text: str) -> list[tuple[str, str]]:
    found = []
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        kind = _HEADER_NAMES.get(name.lower(), "")
        value = value.strip().strip(":\"")
        if kind == "adler32":  # as hexadecimal digits, by RFC 3230's own registry
            found.append((kind, value.lower().zfill(8)))
        elif kind:
            is_hex = len(value) == DIGITS[kind] and _HEX.fullmatch(value.lower())
            found.append((kind, value.lower() if is_hex else _from_base64(value)))
    return found


def _from_base64(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).hex()
    except (binascii.Error, ValueError):
        return ""


def in_manifest(text: str, remote: str) -> str:
    """The checksum that a manifest gives for a file; empty when it has none.

    Names are compared from their end: the longest path that is the address's end counts.
    """
    address = "/" + remote.partition("?")[0].lstrip("/")
    best, length = "", -1
    for line in text.splitlines():
        digits, _, name = line.strip().partition(" ")
        name = "/" + name.strip().lstrip("*").replace("./", "", 1).lstrip("/")
        if len(name) > max(1, length) and address.endswith(name) and parse_checksum(digits):
            best, length = digits, len(name)
    return best


class _Adler32:
    def __init__(self) -> None:
        self._value = 1

    def update(self, data: bytes) -> None:
        self._value = zlib.adler32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value & 0xffffffff:08x}"


def digest(path: Path, kinds: Iterable[str]) -> dict[str, str]:
    """The file's checksums of these kinds."""
    sums: dict[str, Any] = {kind: _Adler32() if kind == "adler32" else
                            hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    if sums:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                for one in sums.values():
                    one.update(block)
    return {kind: one.hexdigest() for kind, one in sums.items()}


def verify(path: Path, remote: str, size: int, expected: Iterable[Expected]) -> None:
    """Raise TransferFailed for a file that is not what was declared or what the server said."""
    found = path.stat().st_size
    if size >= 0 and found != size:
        raise TransferFailed(f"transfer failure: {remote}: it has {found} bytes, declared were {size}",
                             again=False)
    wanted = list(expected)
    sums = digest(path, {one.kind for one in wanted})
    for one in wanted:
        if sums[one.kind] != one.value:
            who = "declared was" if one.declared else "the server says"
            raise TransferFailed(f"transfer failure: {remote}: its {one.kind} is {sums[one.kind]}, "
                                 f"{who} {one.value}")
