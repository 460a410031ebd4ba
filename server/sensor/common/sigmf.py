"""Recordings in the Signal Metadata Format (SigMF 1.2, https://sigmf.org): metadata, and tar archives."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

from config.version import PRODUCT, version

__all__ = ["BYTES", "DOUBLES", "FLOATS", "archive", "metadata", "recorder"]

VERSION = "1.2.0"
BYTES, FLOATS, DOUBLES = "ru8", "rf32_le", "rf64_le"
"""Data types: unsigned bytes (any file), and little-endian real numbers of 32 and 64 bits."""
WIDTHS = {BYTES: 1, FLOATS: 4, DOUBLES: 8}  # bytes of a sample
_EXTENSION = {"name": "grid", "version": "0.1.0", "optional": True}


def recorder() -> str:
    """Our name and version."""
    return f"{PRODUCT} {version()}"


def metadata(started: str, facts: Mapping[str, Any], description: str, *, data: bytes = b"",
             datatype: str = BYTES, annotations: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The three parts of a recording's metadata.

    Parameters
    ----------
    started : str
        ISO 8601, UTC with Z; when the recording begins.
    facts : mapping
        Added to the global part with the prefix ``grid:``; null values are left out.
    annotations : sequence
        None: one for all samples, if there are any.
    """
    count = len(data) // WIDTHS[datatype]
    whole: list[Mapping[str, Any]] = [{"core:sample_start": 0, "core:sample_count": count}] if count else []
    return {
        "global": {
            "core:datatype": datatype, "core:version": VERSION, "core:description": description,
            "core:recorder": recorder(), "core:extensions": [_EXTENSION],
            **({"core:sha512": hashlib.sha512(data).hexdigest()} if data else {}),
            **{f"grid:{name}": value for name, value in facts.items() if value is not None}},
        "captures": [{"core:sample_start": 0, "core:datetime": started}],
        "annotations": [dict(part) for part in annotations or whole]}


def archive(name: str, described: Mapping[str, Any], data: bytes, modified: float) -> bytes:
    """A POSIX tar with ``name/name.sigmf-meta`` and ``name/name.sigmf-data``; equal input, equal bytes."""
    text = json.dumps(described, indent=2, ensure_ascii=False).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for suffix, content in (("meta", text), ("data", data)):
            member = tarfile.TarInfo(f"{name}/{name}.sigmf-{suffix}")
            member.size, member.mtime = len(content), int(modified)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()
