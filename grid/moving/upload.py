"""Taking a file to the web: storage is asked afterwards whether it has all of it."""

from __future__ import annotations

import base64
import http.client
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from grid.moving import checksums
from grid.moving.errors import TransferFailed
from grid.moving.here import Here
from grid.moving.items import Item
from grid.moving.pelican import places
from grid.moving.web import Answer, as_web, failure, refusal
from iceprod.addresses import scheme_of

__all__ = ["Upload"]

_GOOD = (200, 201, 202, 204)


@dataclass
class Upload:
    """One file on its way to storage."""

    item: Item
    path: Path
    here: Here

    def run(self) -> None:
        """Store it. Raises TransferFailed, Stopped, and OSError for what is wrong with the file here."""
        remote, scheme = self.item.remote, scheme_of(self.item.remote)
        self.here.lent.check(remote)
        self.path.stat()
        try:
            if scheme == "s3":
                self._put(self.here.lent.signed(remote, "put"))
                self._look_at(self.here.lent.signed(remote, "head"))
            elif scheme in ("dav", "davs"):
                self._by_dav()
            else:
                address = (places(remote, self.here.line, self.here.means, writing=True)[0]
                           if scheme in ("osdf", "pelican") else remote)
                self._put(address)
                self._look_at(address)
        except (OSError, http.client.HTTPException) as error:
            raise failure(remote, error) from None

    def _by_dav(self) -> None:
        """Under another name first (RFC 4918): WebDAV can rename."""
        final = as_web(self.item.remote)
        part = f"{final}.part"
        try:
            self._put(part)
        except TransferFailed as error:
            if not str(error).endswith(("HTTP 404", "HTTP 409")):
                raise
            self._make_folders(final)
            self._put(part)
        self._look_at(part)
        headers = {"Destination": final, "Overwrite": "T"}
        with self.here.line.ask("MOVE", part, headers, token=self._token()) as answer:
            if answer.status not in _GOOD:
                raise refusal(self.item.remote, answer)

    def _make_folders(self, final: str) -> None:
        """Make the folders that the file is to lie in; what is there already is no failure."""
        parts = urlsplit(final)
        names = parts.path.strip("/").split("/")[:-1]
        for number in range(1, len(names) + 1):
            folder = parts._replace(path="/" + "/".join(names[:number]) + "/").geturl()
            with self.here.line.ask("MKCOL", folder, {}, token=self._token()) as answer:
                answer.read(1 << 16)

    def _token(self) -> str:
        return self.here.lent.token(self.item.remote)

    def _put(self, address: str) -> None:
        size = self.path.stat().st_size
        found = bytes.fromhex(checksums.digest(self.path, ["md5"])["md5"])
        headers = {"Content-MD5": base64.b64encode(found).decode(),
                   "Content-Type": "application/octet-stream"}
        with self.path.open("rb") as file:
            with self.here.line.ask("PUT", address, headers, file, size, token=self._token()) as answer:
                answer.read(1 << 16)
                if answer.status not in _GOOD:
                    raise refusal(self.item.remote, answer)
        self.here.stored.moved += size

    def _look_at(self, address: str) -> None:
        """Compare what storage has with what we have, as far as it tells. Raises TransferFailed."""
        headers = {"Want-Digest": "adler32, sha-256, md5"}
        with self.here.line.ask("HEAD", address, headers, token=self._token()) as answer:
            if answer.status == 404:
                raise TransferFailed(f"transfer failure: {self.item.remote}: storage took it and does not "
                                     "have it")
            if answer.status == 200:
                self._compare(answer)

    def _compare(self, answer: Answer) -> None:
        size = self.path.stat().st_size
        stored = answer.headers.get("Content-Length")
        if stored is not None and stored.isdigit() and int(stored) != size:
            raise TransferFailed(f"transfer failure: {self.item.remote}: storage has {stored} of {size} "
                                 "bytes")
        found = checksums.of_headers(answer.headers, is_s3=scheme_of(self.item.remote) == "s3")
        checksums.verify(self.path, self.item.remote, -1, found)
