"""Fetching and storing all files of a task: two steps, each tried again by itself.

Files, the web (http, https, dav, davs), S3 by addresses that the server signs and the caches of a Pelican
federation (osdf, pelican) we move ourselves; for any scheme the pilot may be told a command, such as
``gsiftp=globus-url-copy {source} {target}``, which then goes first.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from grid.moving import checksums, nearby, retries
from grid.moving.checksums import Expected
from grid.moving.download import Download
from grid.moving.errors import CannotTransfer, NoMeans, TransferFailed
from grid.moving.here import Here
from grid.moving.items import Item, local_path, place_in
from grid.moving.upload import Upload
from iceprod.addresses import BUILT_IN, parse_checksum, scheme_of

__all__ = ["Storing", "check", "fetch"]

Wait = Callable[[float], None]


def check(items: Iterable[Item], here: Here) -> None:
    """Raise CannotTransfer or NoMeans for what cannot be moved, before anything is."""
    for item in items:
        place_in(here.directory, item)
        scheme = scheme_of(item.remote)
        if scheme in here.means.commands or scheme in BUILT_IN:
            if scheme == "s3" and scheme not in here.means.commands and here.lent.ask is None:
                raise NoMeans(f"data: this pilot has no command to transfer {item.remote!r}, and no server "
                              "that signs addresses of S3")
            continue
        nearby.check_command(item.remote, here.means)


# -- fetching


def fetch(items: list[Item], here: Here, wait: Wait) -> None:
    """Bring the inputs into the directory; `wait` pauses between tries, and may raise.

    Raises TransferFailed, CannotTransfer, NoMeans, Stopped.
    """
    began = time.monotonic()
    manifests: dict[str, str] = {}
    try:
        for item in items:
            if item.is_input:
                if item.manifest and item.manifest not in manifests:
                    manifests[item.manifest] = _manifest(item.manifest, here, wait)
                _fetch_one(_declared(item, manifests), here, wait)
    finally:
        here.fetched.seconds += time.monotonic() - began


def _declared(item: Item, manifests: dict[str, str]) -> Item:
    """The item with the checksum that its manifest gives."""
    if not item.manifest or item.checksum:
        return item
    checksum = checksums.in_manifest(manifests[item.manifest], item.remote)
    if not checksum and not item.maybe:
        raise CannotTransfer(f"data: {item.remote}: no way to transfer it: the manifest {item.manifest} does "
                             "not name it")
    return replace(item, checksum=checksum)


def _manifest(address: str, here: Here, wait: Wait) -> str:
    item = Item(address, ".manifest", True, False)
    nearby_path = here.directory / item.local
    _fetch_one(item, here, wait)
    text = nearby_path.read_text(encoding="utf8", errors="replace")
    nearby_path.unlink()
    return text


def _fetch_one(item: Item, here: Here, wait: Wait) -> None:
    path = place_in(here.directory, item)
    path.parent.mkdir(parents=True, exist_ok=True)
    parsed = parse_checksum(item.checksum)
    declared = [Expected(*parsed, declared=True)] if parsed else []
    move = _mover(item, path, here, declared)
    deadline = time.monotonic() + retries.FETCH_SECONDS
    for number in range(1, retries.FETCH_TRIES + 1):
        try:
            here.fetched.cached += move()
            here.fetched.files += 1
            return
        except FileNotFoundError as error:
            if item.maybe:
                return
            raise TransferFailed(f"transfer failure: {item.remote}: {error.strerror}") from None
        except TransferFailed as error:
            if item.maybe and "HTTP 404" in str(error):
                return
            again = error.again or (error.refused and number == 1 and here.lent.renew())
            if not again or number == retries.FETCH_TRIES or time.monotonic() > deadline:
                raise
            wait(retries.pause(number, error.after, random.random()))
        except OSError as error:
            raise TransferFailed(f"transfer failure: {item.remote}: {error.strerror or error}") from None
        here.fetched.retries += 1


def _mover(item: Item, path: Path, here: Here, declared: list[Expected]) -> Callable[[], bool]:
    """What brings the file, and says whether it was in the cache."""
    if _is_web(item, here):
        return Download(item, path, here, declared).run
    bring = nearby.receive if scheme_of(item.remote) in here.means.commands else nearby.copy_in

    def move() -> bool:
        bring(item, path, here)
        if path.exists():
            checksums.verify(path, item.remote, item.size, declared)
        return False

    return move


def _is_web(item: Item, here: Here) -> bool:
    """Whether we move it ourselves, over the network."""
    scheme = scheme_of(item.remote)
    return scheme in BUILT_IN and scheme not in here.means.commands and local_path(item.remote) is None


# -- storing


@dataclass
class Storing:
    """The outputs of a task on their way; those that are stored are not stored again."""

    items: list[Item]
    here: Here
    failures: int = 0
    reason: str = ""  # of the last failure
    _refusals: int = 0
    _done: set[Item] = field(default_factory=set)

    def once(self) -> float:
        """Store what is not stored yet; 0 when all is, else the seconds to wait before the next try.

        Raises TransferFailed when there is no use in another try, CannotTransfer, NoMeans, Stopped.
        """
        began = time.monotonic()
        try:
            for item in self.items:
                if item.is_output and item not in self._done:
                    self._store(item)
                    self._done.add(item)
            return 0.0
        except TransferFailed as error:
            self.failures += 1
            self.here.stored.retries += 1
            self.reason = str(error)
            self._refusals += error.refused
            if not error.again and not (error.refused and self._refusals < retries.STORE_TRIES):
                raise
            if error.refused:
                self.here.lent.renew()
            return retries.pause(self.failures, error.after, random.random())
        finally:
            self.here.stored.seconds += time.monotonic() - began

    def _store(self, item: Item) -> None:
        path = place_in(self.here.directory, item)
        try:
            if scheme_of(item.remote) in self.here.means.commands:
                nearby.send(item, path, self.here)
            elif _is_web(item, self.here):
                Upload(item, path, self.here).run()
            else:
                nearby.copy_out(item, path, self.here)
            self.here.stored.files += 1
        except FileNotFoundError as error:
            if not item.maybe:
                raise _named(item, error.strerror or "", again=False) from None
        except TransferFailed as error:
            raise _named(item, str(error).partition(f"{item.remote}: ")[2] or str(error), again=error.again,
                         after=error.after, refused=error.refused) from None
        except OSError as error:
            why = error.strerror or str(error)
            raise _named(item, why, again=retries.may_heal(why)) from None


def _named(item: Item, why: str, *, again: bool = True, after: float = 0.0,
           refused: bool = False) -> TransferFailed:
    return TransferFailed(f"transfer failure: output {item.remote}: {why}", again=again, after=after,
                          refused=refused)
