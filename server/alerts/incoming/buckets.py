"""A bucket of S3 from outside: what lies under a prefix, one object's bytes, deleting one.

ListObjectsV2 of the Amazon S3 API Reference; every request is an address signed for a minute, or a plain one
where no keys are configured.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from tornado.httpclient import HTTPError, HTTPRequest, HTTPResponse
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from iceprod.ids import now
from server.production.transfers import s3
from server.production.transfers.s3 import Keys

__all__ = ["MOST_BYTES", "Bucket", "Listing", "ListingError", "Stored", "read_listing"]

MOST_BYTES = 64 << 20  # of one answer
SECONDS = 60.0  # for one answer
_NO_ANSWER = 599  # what tornado says when nothing came
_SIGNED = 60  # seconds that an address is good for


class ListingError(ValueError):
    """An answer that is no listing of a bucket; the text says why."""


@dataclass(frozen=True)
class Stored:
    """One object of a listing."""

    key: str
    etag: str  # another one when the object's bytes are others
    size: int
    modified: str  # ISO 8601, UTC


@dataclass(frozen=True)
class Listing:
    """A page of what lies under a prefix; `more` asks for the next one."""

    objects: tuple[Stored, ...]
    more: str = ""


def read_listing(data: bytes) -> Listing:
    """A page of a listing. Raises ListingError."""
    if b"<!" in data:
        raise ListingError("document types and entities are not accepted")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ListingError(f"not well formed: {error}") from None
    if _name(root) != "ListBucketResult":
        raise ListingError(f"a {_name(root)[:40]}, not a ListBucketResult")
    found = tuple(_stored(item) for item in root if _name(item) == "Contents")
    more = _text(root, "NextContinuationToken") if _text(root, "IsTruncated") == "true" else ""
    return Listing(found, more)


def _stored(item: ElementTree.Element) -> Stored:
    key, size = _text(item, "Key"), _text(item, "Size")
    if not key or not size.isascii() or not size.isdigit() or len(size) > 15:
        raise ListingError("an object without a key or a size")
    return Stored(key, _text(item, "ETag").strip('"'), int(size), _text(item, "LastModified"))


def _text(item: ElementTree.Element, name: str) -> str:
    return next((one.text or "" for one in item if _name(one) == name), "")


def _name(item: ElementTree.Element) -> str:
    return item.tag.rpartition("}")[2]


class Bucket:
    """A bucket and the keys to it."""

    def __init__(self, keys: Keys, name: str) -> None:
        self.keys, self.name = keys, name
        self._client = SimpleAsyncHTTPClient(force_instance=True, max_body_size=MOST_BYTES)

    async def listed(self, prefix: str) -> AsyncIterator[tuple[Stored, ...]]:
        """All objects under a prefix, page by page. Raises OSError."""
        more: dict[str, str] = {}
        while True:
            answer = await self._ask("GET", "", {"list-type": "2", "prefix": prefix, **more})
            try:
                page = read_listing(answer.body)
            except ListingError as error:
                raise OSError(f"the storage's listing cannot be read: {error}") from None
            yield page.objects
            if not page.more:
                return
            if page.more == more.get("continuation-token"):
                raise OSError("the storage's listing cannot be read: its next page is the same one")
            more = {"continuation-token": page.more}

    async def read(self, key: str) -> bytes:
        """An object's bytes. Raises OSError."""
        return (await self._ask("GET", key)).body

    async def delete(self, key: str, etag: str) -> None:
        """Delete an object with these bytes; one that is gone, or another by now, is well. Raises OSError."""
        await self._ask("DELETE", key, headers={"If-Match": f'"{etag}"'}, well=(404, 412))

    async def _ask(self, method: str, key: str, query: Mapping[str, str] | None = None,
                   headers: dict[str, str] | None = None, well: Container[int] = ()) -> HTTPResponse:
        request = HTTPRequest(
            self._address(method, key, query), method=method, headers=headers, request_timeout=SECONDS,
            connect_timeout=SECONDS, follow_redirects=False, decompress_response=False)
        try:
            answer = await self._client.fetch(request, raise_error=False)
        except (HTTPError, OSError, ValueError) as error:
            raise OSError(f"{self.keys.endpoint}: {error}") from None
        if answer.code == _NO_ANSWER:
            raise OSError(f"{self.keys.endpoint}: {answer.error}")
        if 200 <= answer.code < 300 or answer.code in well:
            return answer
        what = f"object {key!r}" if key else f"bucket {self.name!r}"
        raise OSError(f"{what}: HTTP {answer.code}{_said(answer)}")

    def _address(self, method: str, key: str, query: Mapping[str, str] | None) -> str:
        if not self.keys.access_key:
            return s3.address(self.keys, self.name, key, query)
        return s3.presigned(self.keys, method, self.name, key, now(), _SIGNED, query)

    def close(self) -> None:
        self._client.close()


def _said(answer: HTTPResponse) -> str:
    """The code by which S3 says why it refuses, and what that means for whoever configured it."""
    body = answer.body or b""
    code = body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode(errors="replace")[:60]
    means = {"NoSuchBucket": "there is no such bucket", "AccessDenied": "the keys do not allow it",
             "SignatureDoesNotMatch": "secret_key is wrong", "InvalidAccessKeyId": "access_key is unknown",
             "AuthorizationHeaderMalformed": "region is wrong"}
    return f" {code}{f': {means[code]}' if code in means else ''}" if code else ""
