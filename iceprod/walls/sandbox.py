"""Where programs run that others wrote: they see the system, their own directory, and nothing of us.

Of the ways to do that, the first that works here is taken:

``namespaces``  the kernel's own calls (`iceprod.walls.namespaces`); with root's rights and an account,
                programs also run as that
``bwrap``       bubblewrap, where the kernel trusts that program alone
``account``     without walls, but as another user; for root alone
``none``        nothing: programs can do all that we can

Needs Python 3.9's standard library only, for the pilot carries it.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

from iceprod.walls import bubblewrap, namespaces

__all__ = ["ISOLATION", "MEANS", "Sandbox", "View", "find_sandbox", "furnish", "try_out"]

ISOLATION = ("auto", "required", "off")
"""What a setting may say: with walls where that is possible, not without, never."""

MEANS = ("namespaces", "bwrap", "account", "none")
ROOT, TMP = ".root", ".tmp"  # in a program's directory: where its root is made, and its /tmp

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/sys", "/cvmfs",
           "/nix", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager/resolv.conf")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/fuse",
            "/dev/kfd", "/dev/dri", "/dev/nvidia*")
_DEVICE_LINKS = (("/proc/self/fd", "/dev/fd"), ("fd/0", "/dev/stdin"), ("fd/1", "/dev/stdout"),
                 ("fd/2", "/dev/stderr"))
_PRIVATE = ("/tmp", "/var/tmp", "/dev/shm")
_PROBE_SECONDS = 20.0
_DIRECTORIES = 256  # of which boxes are remembered


@dataclass(frozen=True)
class View:
    """What programs see besides the system and their own directory.

    All of it is paths: `readable` and `writable` ones are shown (``/`` among the writable: the whole machine,
    as far as the account may); `hidden` ones are not, also where they lie below a shown one.
    """

    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    def mounts(self) -> Iterator[tuple[str, str, str]]:
        """What to mount, parents first, but for the program's own directory."""
        kinds = self._kinds()
        shown = _without_those_inside(kinds)
        for path in sorted(shown, key=_depth):
            if os.path.islink(path) and _covering(os.path.realpath(path), shown):
                yield "link", os.readlink(path), path
            else:
                yield shown[path], path, path
        if "/" not in shown:
            yield from _devices()
        hidden = {os.path.realpath(path) for path in self.hidden}
        for path in sorted(hidden, key=_depth):
            if os.path.exists(path) and _covering(path, shown) and not _is_gone(path, hidden, kinds):
                yield "cover", "", path
                yield from ((kind, other, other) for other, kind in kinds.items()
                            if other != path and _is_below(other, path))

    def _kinds(self) -> dict[str, str]:
        """How paths of this machine are shown."""
        kinds = dict.fromkeys((*_SYSTEM, *_python(), *map(os.path.abspath, self.readable)), "ro")
        kinds.update(dict.fromkeys(map(os.path.abspath, self.writable), "rw"))
        return {path: kind for path, kind in kinds.items() if os.path.exists(path)}


@dataclass(frozen=True)
class Sandbox:
    """How programs are run here; `why` not better."""

    means: str = "none"
    why: str = ""
    mounts: tuple[tuple[str, str, str], ...] = ()
    account: tuple[int, int] | None = None
    processes: int = namespaces.PROCESSES  # and threads of one program, at most

    @property
    def is_walled(self) -> bool:
        """Whether programs see a part of the machine only."""
        return self.means in ("namespaces", "bwrap")

    def shown(self) -> dict[str, list[str]] | None:
        """The paths that programs may read, and those that they may change; None: all that there are."""
        if not self.is_walled or any(target == "/" for _, _, target in self.mounts):
            return None
        names = {"ro": "readable", "rw": "writable"}
        return {name: sorted(target for one, _, target in self.mounts if one == kind)
                for kind, name in names.items()}

    def box(self, directory: str, disk_gb: float = 0.0) -> dict[str, Any] | None:
        """What the process that starts programs has to know, for one directory; None without a sandbox."""
        if self.means == "none":
            return None
        if self.account is not None:
            _hand_over(directory, self.account)
        return _box(self, directory, int(disk_gb * 1e9))

    def makes(self, directory: str) -> Collection[str]:
        """Directories that a box makes in a directory, parents first: its own, and in its /tmp those to show
        others at.
        """
        return _makes(self, directory) if self.is_walled else ()

    def _names(self, directory: str) -> Iterator[str]:
        yield from (ROOT, TMP)
        shown = [target for target in (directory, *(mount[2] for mount in self.mounts))
                 if target.startswith(_PRIVATE)]
        parts = [target[len(place) + 1:].split("/") for target in shown for place in _PRIVATE
                 if target.startswith(place + "/")]
        yield from ("/".join([TMP, *names[:count + 1]]) for names in parts for count in range(len(names)))


@lru_cache(maxsize=_DIRECTORIES)
def _makes(sandbox: Sandbox, directory: str) -> dict[str, None]:
    return dict.fromkeys(sorted(set(sandbox._names(directory)), key=_depth))


@lru_cache(maxsize=_DIRECTORIES)
def _box(sandbox: Sandbox, directory: str, file_bytes: int) -> dict[str, Any]:
    """A box, which is shared: nobody changes it."""
    private = [("own", os.path.join(directory, TMP), place) for place in _PRIVATE]
    whole = [mount for mount in sandbox.mounts if mount[2] == "/"]
    parts = [mount for mount in sandbox.mounts if mount[2] != "/"]
    return {"means": sandbox.means, "account": sandbox.account, "root": os.path.join(directory, ROOT),
            "mounts": [*whole, *private, *parts, ("own", directory, directory)],
            "makes": [os.path.join(directory, name) for name in sandbox.makes(directory)],
            "processes": sandbox.processes, "file_bytes": file_bytes}


def furnish(box: dict[str, Any]) -> None:
    """Make the directories that a box needs before its walls are built. Raises OSError.

    Links that programs put in their place would have us mount, in the next one's sight, whatever they point
    at; so they go.
    """
    for path in box["makes"]:
        _remove_link(path)
    for path in box["makes"][:2]:
        if not os.path.isdir(path):
            os.mkdir(path, 0o700)
            if box["account"] is not None:
                os.chown(path, *box["account"])


def find_sandbox(wanted: str, view: View, account: str = "") -> Sandbox:
    """The best sandbox that works here, found by trying; `wanted` is one of `ISOLATION`.

    `account` names the user that programs run as when we are root. Why there is nothing better is told in the
    answer's `why`.
    """
    if wanted == "off":
        return Sandbox(why="it is turned off")
    as_root = os.getuid() == 0
    ids = _ids(account) if as_root else None
    if as_root and ids is None:
        return Sandbox(why=f"we are root, and there is no account {account!r} to run programs as")
    mounts = tuple(view.mounts())
    troubles: list[str] = []
    for means in MEANS[:-1]:
        if (means == "account" and ids is None) or (means == "bwrap" and ids is not None):
            continue
        one = Sandbox(means, "; ".join(troubles), mounts if means != "account" else (), ids)
        trouble = _try(one)
        if not trouble:
            return one
        troubles.append(f"{means}: {trouble}")
    return Sandbox(why="; ".join(troubles))


def _try(sandbox: Sandbox) -> str:
    """Run a program that does nothing; what went wrong."""
    if sandbox.means == "bwrap" and not shutil.which("bwrap"):
        return "bubblewrap is not installed"
    with tempfile.TemporaryDirectory(prefix="iceprod-try-") as directory:
        box = sandbox.box(os.path.realpath(directory)) or {}
        furnish(box)
        code = "import json, sys; sys.path.append(sys.argv[1]); from iceprod.walls import sandbox; " \
               "sandbox.try_out(json.loads(sys.argv[2]))"
        home = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
        argv = [sys.executable, "-I", "-S", "-c", code, home, json.dumps(box)]
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                                  timeout=_PROBE_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it fails"])[-1]


def try_out(box: dict[str, Any]) -> NoReturn:
    """Run ``true`` in a box; ends the process, with 0 when it can be done."""
    argv, directory = ["true"], box["mounts"][-1][2]

    def become() -> None:
        os.chdir(directory)
        namespaces.confine(box["account"], box["processes"], 0)
        os.execvp(argv[0], argv)

    try:
        if box["means"] == "bwrap":
            os.execvp("bwrap", bubblewrap.command(box, argv, directory))
        elif box["means"] == "namespaces":
            first = namespaces.begin_walled(box["root"], box["mounts"], box["account"] is not None, become)
            os._exit(1 if os.waitpid(first, 0)[1] else 0)
        become()
    except OSError as error:
        sys.exit(str(error))
    sys.exit(1)


def _without_those_inside(kinds: dict[str, str]) -> dict[str, str]:
    """Only paths that no other path shows already."""
    if "/" in kinds:
        return {"/": kinds["/"]}
    return {path: kind for path, kind in kinds.items()
            if kind == "rw" or not _covering(path, kinds.keys() - {path})}


def _remove_link(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISLNK(os.lstat(path).st_mode):  # islink() is False where we may not look
            os.unlink(path)


def _hand_over(directory: str, account: tuple[int, int]) -> None:
    """Give a directory and all in it to an account, but for what the box itself made.

    What has a second name may be a file of the machine, which programs may link where the kernel lets them
    (fs.protected_hardlinks); the pilot makes none.
    """
    if os.lstat(directory).st_uid != account[0]:
        os.chown(directory, *account, follow_symlinks=False)
    for entry in os.scandir(directory):
        if entry.name in (ROOT, TMP):
            continue
        if entry.is_dir(follow_symlinks=False):
            _hand_over(entry.path, account)
        elif _is_ours_alone(entry.stat(follow_symlinks=False), account):
            os.chown(entry.path, *account, follow_symlinks=False)


def _is_ours_alone(status: os.stat_result, account: tuple[int, int]) -> bool:
    return status.st_nlink == 1 and status.st_uid != account[0]


def _ids(account: str) -> tuple[int, int] | None:
    try:
        entry = pwd.getpwnam(account)
    except KeyError:
        return None
    return (entry.pw_uid, entry.pw_gid) if entry.pw_uid else None


def _python() -> set[str]:
    """Where our Python and its packages are."""
    return {os.path.abspath(path) for path in (sys.prefix, sys.base_prefix, sys.exec_prefix)}


def _devices() -> Iterator[tuple[str, str, str]]:
    for pattern in _DEVICES:
        yield from (("dev", path, path) for path in sorted(glob.glob(pattern)))
    yield from (("link", source, target) for source, target in _DEVICE_LINKS)


def _covering(path: str, others: Collection[str]) -> list[str]:
    return [other for other in others if _is_below(path, other)]


def _is_gone(path: str, hidden: Collection[str], shown: Collection[str]) -> bool:
    """Whether a hidden directory above hides a path already, and nothing between the two is shown again."""
    above = [other for other in _covering(path, hidden) if other != path]
    if not above:
        return False
    nearest = max(above, key=_depth)
    return all(_is_below(nearest, other) for other in _covering(path, shown))


def _is_below(path: str, other: str) -> bool:
    return other == "/" or path == other or path.startswith(other + "/")


def _depth(path: str) -> int:
    return path.rstrip("/").count("/")
