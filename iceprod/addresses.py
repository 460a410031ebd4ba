"""Addresses and checksums of files, as configurations write them. Pilots have this file, too."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

__all__ = ["BUILT_IN", "DIGITS", "parse_checksum", "scheme_of"]

BUILT_IN = ("dav", "davs", "file", "http", "https", "osdf", "pelican", "s3")
"""Schemes that every pilot moves by itself."""

DIGITS = {"adler32": 8, "sha256": 64, "sha512": 128, "sha1": 40, "md5": 32}
"""Kinds of checksums, and how many hexadecimal digits they have."""

_HEX = re.compile(r"[0-9a-f]+")


def scheme_of(remote: str) -> str:
    """The scheme of an address; "file" for a path, nothing for what is neither."""
    try:
        scheme = urlsplit(remote).scheme.lower()
    except ValueError:
        return ""
    return "file" if not scheme and remote.startswith("/") else scheme


def parse_checksum(text: str) -> tuple[str, str] | None:
    """Kind and digits of a checksum such as ``sha256=0123…`` or ``adler32:1f…``; None when it is none.

    Digits alone are of the kind that has so many.
    """
    kind, _, value = text.strip().lower().replace(":", "=", 1).rpartition("=")
    kind = kind.replace("-", "")
    kind = kind or next((name for name, length in DIGITS.items() if length == len(value)), "")
    if kind == "adler32":
        value = value.zfill(8)
    right = DIGITS.get(kind) == len(value) and _HEX.fullmatch(value)
    return (kind, value) if right else None
