"""Files of this machine, and those that a site's own commands move.

Where programs run in a sandbox, files of this machine that a task names are copied in there: a task gets no
file that its programs may not see, and puts none where they may not write.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from grid.moving import retries
from grid.moving.errors import NoMeans, TransferFailed
from grid.moving.here import Here
from grid.moving.items import Item, Means, local_path
from iceprod.addresses import scheme_of

__all__ = ["check_command", "copy_in", "copy_out", "receive", "send"]

_UNSEEN = "not there, or not shown to tasks (settings pilots.visible and pilots.writable)"
_FETCH = f'test -e "$1" || {{ echo "{_UNSEEN}" >&2; exit 1; }}; cp -- "$1" "$2"'
_STORE = (f'mkdir -p -- "$(dirname -- "$2")" && cp -- "$1" "$2.part" || {{ echo "{_UNSEEN}" >&2; exit 1; }}; '
          'test "$(wc -c < "$1")" = "$(wc -c < "$2.part")" || { echo "the copy is not whole" >&2; exit 1; }; '
          'mv -f -- "$2.part" "$2"')


def copy_in(item: Item, path: Path, here: Here) -> None:
    """Copy a file of this machine into the task's directory. Raises TransferFailed, OSError."""
    source = local_path(item.remote) or ""
    if here.run_inside and not item.is_ours:
        error = here.run_inside(["/bin/sh", "-c", _FETCH, "fetch", source, str(path)])
        if error and item.maybe:
            raise FileNotFoundError(2, _UNSEEN)
        if error:
            raise TransferFailed(f"transfer failure: {item.remote}: {error}", again=False)
    else:
        part = path.with_name(f".{path.name}.part")
        shutil.copyfile(source, part)
        _check_size(item, source, part)
        part.replace(path)
    here.fetched.moved += path.stat().st_size


def copy_out(item: Item, path: Path, here: Here) -> None:
    """Copy a file to where it belongs on this machine. Raises TransferFailed, OSError."""
    target = local_path(item.remote) or ""
    size = path.stat().st_size  # without it, there is nothing to store
    if here.run_inside and not item.is_ours:
        if error := here.run_inside(["/bin/sh", "-c", _STORE, "store", str(path), target]):
            raise TransferFailed(f"transfer failure: {item.remote}: {error}", again=retries.may_heal(error))
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        part = Path(f"{target}.part")
        shutil.copyfile(path, part)
        _check_size(item, str(path), part)
        os.replace(part, target)
    here.stored.moved += size


def _check_size(item: Item, source: str, copy: Path) -> None:
    if os.stat(source).st_size != copy.stat().st_size:
        copy.unlink()
        raise TransferFailed(f"transfer failure: {item.remote}: the copy is not whole")


# -- commands of the site


def check_command(remote: str, means: Means) -> str:
    """The site's command for such addresses. Raises NoMeans."""
    scheme = scheme_of(remote)
    if scheme not in means.commands:
        known = ", ".join(means.schemes())
        raise NoMeans(f"data: this pilot has no command to transfer {remote!r}; it knows {known}")
    return means.commands[scheme]


def receive(item: Item, path: Path, here: Here) -> None:
    """Have the site's command bring a file. Raises TransferFailed, NoMeans, FileNotFoundError."""
    part = path.with_name(f".{path.name}.part")
    with _filled(item, here, item.remote, str(part)) as argv:
        error = here.run(argv)
    if not error and not part.exists():
        error = "the command brought no file"
    if error:
        if part.exists():
            part.unlink()
        if item.maybe:
            raise FileNotFoundError(2, error)
        raise _said(item, error)
    part.replace(path)
    here.fetched.moved += path.stat().st_size


def send(item: Item, path: Path, here: Here) -> None:
    """Have the site's command take a file away. Raises TransferFailed, NoMeans, OSError."""
    with _filled(item, here, str(path), item.remote) as argv:
        size = path.stat().st_size  # without it, there is nothing to send
        error = here.run(argv)
    if error:
        raise _said(item, error)
    here.stored.moved += size


def _said(item: Item, error: str) -> TransferFailed:
    return TransferFailed(f"transfer failure: {item.remote}: {error}", again=not retries.is_hopeless(error))


@contextlib.contextmanager
def _filled(item: Item, here: Here, source: str, target: str) -> Iterator[list[str]]:
    """The words of the command that moves a file; the token for it lies in a file that is there meanwhile."""
    words = shlex.split(check_command(item.remote, here.means))
    with tempfile.NamedTemporaryFile("w", prefix="token-") as file:  # for us alone
        file.write(here.lent.token(item.remote))
        file.flush()
        yield [word.replace("{source}", source).replace("{target}", target).replace("{token}", file.name)
               for word in words]


