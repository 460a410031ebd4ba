"""Bringing a file from the web: resumed where it was cut, whole or not at all, and checked."""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass, field
from pathlib import Path

from grid.moving import checksums
from grid.moving.cache import Entry, Known, key_of
from grid.moving.checksums import Expected
from grid.moving.errors import TransferFailed
from grid.moving.here import Here
from grid.moving.items import Item
from grid.moving.pelican import places
from grid.moving.web import Answer, as_web, failure, is_own, refusal
from iceprod.addresses import scheme_of

__all__ = ["Download"]

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass
class Download:
    """One file on its way here. It remembers, from try to try, what is there already."""

    item: Item
    path: Path
    here: Here
    declared: list[Expected] = field(default_factory=list)
    _etag: str = ""
    _modified: str = ""
    _size: int = -1
    _failures: int = 0

    @property
    def _part(self) -> Path:
        return self.path.with_name(f".{self.path.name}.part")

    def run(self) -> bool:
        """Bring it; whether it was in the cache. Raises TransferFailed, Stopped, OSError."""
        remote, lent = self.item.remote, self.here.lent
        lent.check(remote)
        kept = next((one.value for one in self.declared if one.kind == "sha256"), "")
        with self.here.cache.entry(key_of(kept or remote), self.here.line.check) as entry:
            known = entry.known()
            if known and kept and not lent.is_lent(remote) and entry.copy_to(self.path, known):
                return True  # the same content, and nobody is asked for more than that
            try:
                return self._fetch(entry, known)
            except (TransferFailed, OSError):
                self._failures += 1
                raise

    def _fetch(self, entry: Entry, known: Known | None) -> bool:
        address = self._address()
        token = self.here.lent.token(self.item.remote)
        try:
            with self.here.line.ask("GET", address, self._headers(known), token=token) as answer:
                if known and self._is_same(answer, known) and entry.copy_to(self.path, known):
                    return True
                if answer.status == 304:
                    raise TransferFailed(f"transfer failure: {self.item.remote}: the copy in the cache broke")
                self._take(answer)
                found = checksums.of_headers(answer.headers, is_part=answer.status == 206,
                                             is_s3=scheme_of(self.item.remote) == "s3")
        except (OSError, http.client.HTTPException) as error:
            if is_own(error):
                raise
            raise failure(self.item.remote, error) from None
        self._finish(found, entry)
        return False

    def _address(self) -> str:
        """Where it is to be had this time."""
        remote, scheme = self.item.remote, scheme_of(self.item.remote)
        if scheme == "s3":
            return self.here.lent.signed(remote, "get")
        if scheme in ("osdf", "pelican"):
            found = places(remote, self.here.line, self.here.means)
            return found[self._failures % len(found)]
        return as_web(remote)

    def _headers(self, known: Known | None) -> dict[str, str]:
        """That we go on where we were, or want nothing but news."""
        have = self._part.stat().st_size if self._part.exists() else 0
        if have and (self._etag or self._modified or self.declared):
            whole = self._etag if self._etag and not self._etag.startswith("W/") else self._modified
            return {"Range": f"bytes={have}-", **({"If-Range": whole} if whole else {})}
        headers = {"Want-Digest": "adler32, sha-256, md5"}
        if known and known.etag:
            headers["If-None-Match"] = known.etag
        elif known and known.modified:
            headers["If-Modified-Since"] = known.modified
        return headers

    def _is_same(self, answer: Answer, known: Known) -> bool:
        """Whether the server has what the cache has."""
        if answer.status != 200:
            return answer.status == 304
        etag, modified = answer.headers.get("ETag") or "", answer.headers.get("Last-Modified") or ""
        by_time = not etag and modified == known.modified and answer.length == known.size
        return bool(etag and etag == known.etag) or bool(modified and by_time)

    def _take(self, answer: Answer) -> None:
        """Add what comes to what is there. Raises TransferFailed when it is not all there is."""
        begin = self._begin_at(answer)
        whole = self._size
        with self._part.open("r+b" if begin else "wb") as file:
            file.seek(begin)
            file.truncate()
            have = begin
            try:
                for block in self.here.line.blocks(answer):
                    file.write(block)
                    have += len(block)
                    self.here.fetched.moved += len(block)
            except (OSError, http.client.HTTPException) as error:
                if is_own(error):
                    raise
                raise TransferFailed(f"{failure(self.item.remote, error)}, after {have} of "
                                     f"{whole if whole >= 0 else 'unknown'} bytes") from None
        if whole >= 0 and have != whole:
            raise TransferFailed(f"transfer failure: {self.item.remote}: the server closed connection after "
                                 f"{have} of {whole} bytes")

    def _begin_at(self, answer: Answer) -> int:
        """From which byte on the answer is; the size and version that it tells are remembered."""
        if answer.status == 206:
            found = _RANGE.fullmatch(answer.headers.get("Content-Range") or "")
            have = self._part.stat().st_size if self._part.exists() else 0
            total = int(found[3]) if found and found[3] != "*" else self._size
            if not found or int(found[1]) != have or (self._size >= 0 and total != self._size):
                self._forget()
                raise TransferFailed(f"transfer failure: {self.item.remote}: another part came than was "
                                     "asked for")
            self._size = total
            return have
        if answer.status == 416:
            self._forget()
        if answer.status != 200:
            raise refusal(self.item.remote, answer)
        self._etag = answer.headers.get("ETag") or ""
        self._modified = answer.headers.get("Last-Modified") or ""
        self._size = answer.length if answer.length is not None else -1
        if self._size > self.here.most:
            raise TransferFailed(f"disk limit: {self.item.remote} has {self._size / 1e9:.2f} GB, the task "
                                 f"may use {self.here.most / 1e9:.2f} GB", again=False)
        if self._size < 0 and not answer.chunked and self.item.size < 0 and not self.declared:
            raise TransferFailed(f"transfer failure: {self.item.remote}: no way to transfer it: the server "
                                 "does not say how long it is; declare its size or checksum", again=False)
        return 0

    def _finish(self, found: list[Expected], entry: Entry) -> None:
        """Check the whole file and give it its name."""
        try:
            checksums.verify(self._part, self.item.remote, self.item.size, [*self.declared, *found])
        except TransferFailed:
            self._forget()
            raise
        if self._etag or self._modified or any(one.kind == "sha256" for one in self.declared):
            entry.keep(self._part, self._etag, self._modified)
        self._part.replace(self.path)

    def _forget(self) -> None:
        if self._part.exists():
            self._part.unlink()
        self._etag = self._modified = ""
        self._size = -1
