"""Addresses of S3 that are signed in advance: whoever has one may do one thing with one object for a while.

AWS Signature Version 4, with the signature in the query ("Authenticating Requests: Using Query Parameters",
Amazon S3 API Reference). All is pure.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import SplitResult, quote, urlsplit

__all__ = ["LONGEST_SECONDS", "Keys", "address", "bucket_of", "presigned"]

LONGEST_SECONDS = 7 * 86400
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class Keys:
    """Where a bucket is, and by which keys one gets in.

    The bucket's name follows the endpoint's path, or stands where the endpoint has ``{bucket}``.
    """

    endpoint: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"


def bucket_of(remote: str) -> tuple[str, str]:
    """Bucket and key of an address like ``s3://bucket/key``."""
    parts = urlsplit(remote)
    return parts.netloc, parts.path.lstrip("/")


def presigned(keys: Keys, method: str, bucket: str, key: str, moment: datetime, seconds: int,
              more: Mapping[str, str] | None = None) -> str:
    """The address by which `method` may be done with an object for so many seconds from `moment` on.

    `more` goes into the query, too: without a key these are requests to the bucket itself.
    """
    base, path = _place(keys, bucket, key)
    stamp = moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{keys.region}/s3/aws4_request"
    query = _query({
        "X-Amz-Algorithm": _ALGORITHM, "X-Amz-Credential": f"{keys.access_key}/{scope}",
        "X-Amz-Date": stamp, "X-Amz-Expires": str(min(seconds, LONGEST_SECONDS)),
        "X-Amz-SignedHeaders": "host", **(more or {})})
    request = "\n".join([method, path, query, f"host:{base.netloc}", "", "host", "UNSIGNED-PAYLOAD"])
    text = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    signature = hmac.new(_key(keys, stamp[:8]), text.encode(), "sha256").hexdigest()
    return f"{base.scheme}://{base.netloc}{path}?{query}&X-Amz-Signature={signature}"


def address(keys: Keys, bucket: str, key: str, more: Mapping[str, str] | None = None) -> str:
    """The same address without a signature, for what everybody may do."""
    base, path = _place(keys, bucket, key)
    return f"{base.scheme}://{base.netloc}{path}{f'?{_query(more)}' if more else ''}"


def _place(keys: Keys, bucket: str, key: str) -> tuple[SplitResult, str]:
    """The endpoint's parts, and the path of an object as it is sent and signed."""
    has_place = "{bucket}" in keys.endpoint
    base = urlsplit(keys.endpoint.replace("{bucket}", bucket))
    path = "/".join([base.path.rstrip("/"), *([] if has_place else [bucket]), key])
    return base, quote(path, safe="/-_.~")


def _query(values: Mapping[str, str]) -> str:
    """A query as it is signed: sorted by name, percent-encoded."""
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
                    for name, value in sorted(values.items()))


def _key(keys: Keys, day: str) -> bytes:
    key = f"AWS4{keys.secret_key}".encode()
    for part in (day, keys.region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return key
