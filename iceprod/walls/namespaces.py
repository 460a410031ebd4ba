"""The kernel's own walls: what processes behind them see of the machine (Linux; Python 3.9's library).

    caller ── first process ── programs, one after the other ── whatever they start

`begin_walled` leaves the caller outside; the first process makes the root that programs see, and when it
ends, the kernel ends all below it. See unshare(2), user_namespaces(7), pid_namespaces(7), pivot_root(2).

Mounts are triples (kind, source, target), in the order in which they are made: ``ro`` and ``rw`` show a file
or directory of this machine with all that is mounted below it, ``own`` a directory without, ``dev`` a device;
``link`` is a symbolic link, ``cover`` hides a file or directory.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys

TYPE_CHECKING = False  # the process that forks for each program imports this, and no more than it must
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

__all__ = ["PROCESSES", "CannotWall", "begin_walled", "confine", "die_with_parent", "hide_memory",
           "leave_keyring", "limit", "open_queues", "read_only", "user_keys"]

PROCESSES = 4096
"""The most processes and threads of one task."""

_NEWNS, _NEWIPC, _NEWUSER, _NEWPID = 0x20000, 0x08000000, 0x10000000, 0x20000000
_NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_DETACH = 2
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE = 442, -100, 0x8000  # one number on all machines, since Linux 5.12
_FSOPEN, _FSCONFIG, _FSMOUNT, _CLOSE_ON_EXEC, _CREATE = 430, 431, 432, 1, 6  # likewise, since Linux 5.2
_RDONLY = 1
_KEYCTLS = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "loongarch64": 219, "ppc64": 271, "ppc64le": 271,
            "s390x": 280}
_KEYCTL = _KEYCTLS.get(os.uname().machine)  # its number differs
_JOIN_SESSION_KEYRING, _KEYCTL_READ, _USER_KEYRINGS = 1, 11, (-4, -5)
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _LAST_CAPABILITY = 4, 24, 38, 40
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


class CannotWall(OSError):
    """There are no walls here now; the text says why."""


def begin_walled(root: str, mounts: list[tuple[str, str, str]], as_root: bool,
                 inside: Callable[[], Any]) -> int:
    """Have `inside` called behind walls, by their first process; its pid. Raises OSError, CannotWall.

    The caller cannot see the machine's mounts any more, so it should be a process for this alone. When it
    dies, all behind the walls does, unless `inside` changes accounts (prctl(2), PR_SET_PDEATHSIG).
    """
    reading, writing = os.pipe()
    _separate(as_root)
    first = os.fork()
    if first == 0:
        os.close(reading)
        _be_first(root, mounts, inside, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read().decode("utf8", "replace")
    if said:
        os.waitpid(first, 0)
        raise CannotWall(said)
    return first


def _be_first(root: str, mounts: list[tuple[str, str, str]], inside: Callable[[], Any],
              writing: int) -> NoReturn:
    die_with_parent()
    try:
        _furnish(root, mounts)
        hide_memory()
        os.close(writing)
    except OSError as error:
        os.write(writing, f"{error.strerror}: {error.filename or root}".encode())
        os._exit(1)
    inside()
    os._exit(0)


def die_with_parent() -> None:
    """Have the kernel kill us when our parent ends; to be said again after a change of accounts."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _separate(as_root: bool) -> None:
    """Leave the machine's mounts, and have the next child begin a family of processes.

    Who is not root gets a user namespace, in which it may do that, and stays the same user in it.
    """
    user, group = os.getuid(), os.getgid()
    _call("unshare", _NEWNS | _NEWPID | _NEWIPC | (0 if as_root else _NEWUSER))
    if not as_root:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"),
                           ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)


def _furnish(root: str, mounts: list[tuple[str, str, str]]) -> None:
    """Make a new root at an empty directory and enter it; the old one is gone."""
    _mount(None, "/", None, _REC | _PRIVATE)
    _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "mode=755,size=1m")
    for kind, source, target in mounts:
        _show(kind, source, root + target)
    _directory(root + "/proc")
    _mount("proc", root + "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    for target in read_only(mounts):  # now that all is in place
        if os.path.isdir(root + target):
            _protect(root + target, _RDONLY | _NOSUID, 0)
    os.chdir(root)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _DETACH)
    os.chdir("/")


def confine(account: tuple[int, int] | None, processes: int, file_bytes: int) -> None:
    """Give up all rights for good, and take limits; with an account (user, group), become that."""
    if account is not None:
        os.setgroups([])
        os.setgid(account[1])
        os.setuid(account[0])
    with contextlib.suppress(OSError):
        for capability in range(_LAST_CAPABILITY + 1):
            _call("prctl", _PR_CAPBSET_DROP, capability, 0, 0, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _limit(resource.RLIMIT_NPROC, processes)
    limit(file_bytes)


def limit(file_bytes: int) -> None:
    """Leave no core dumps, and write no file above a size, unless that is 0."""
    _limit(resource.RLIMIT_CORE, 0)
    if file_bytes:
        _limit(resource.RLIMIT_FSIZE, file_bytes)


def open_queues() -> list[int]:
    """Descriptors that tell of message queues, semaphores and shared memory: a directory, and three tables.

    None where the kernel has no such thing (mq_overview(7), sysvipc(7)). The size of the first, and the
    lines of the others but one, tell what is there. Needs the rights that `confine` gives up.
    """
    found = []
    with contextlib.suppress(OSError):
        mounting = _call("syscall", _FSOPEN, b"mqueue", _CLOSE_ON_EXEC)
        _call("syscall", _FSCONFIG, mounting, _CREATE, None, None, 0)
        mounted = _call("syscall", _FSMOUNT, mounting, _CLOSE_ON_EXEC, 0)
        found.append(os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=mounted))
        os.close(mounting)
        os.close(mounted)
    for name in ("msg", "sem", "shm"):
        with contextlib.suppress(OSError):
            found.append(os.open(f"/proc/sysvipc/{name}", os.O_RDONLY))
    return found


def leave_keyring() -> None:
    """Have a session keyring of our own: the inherited one has the credentials of who began the session.

    Nothing where the kernel has none, or keeps them from us (keyrings(7), keyctl(2)).
    """
    with contextlib.suppress(OSError):
        _keyctl(_JOIN_SESSION_KEYRING, None)


def user_keys() -> list[bytes]:
    """Which keys our account has in this user namespace; they outlive processes."""
    found = []
    for ring in _USER_KEYRINGS:
        ids = ctypes.create_string_buffer(4096)
        with contextlib.suppress(OSError):
            found.append(ids.raw[:_keyctl(_KEYCTL_READ, ring, ids, len(ids))])
    return found


def _keyctl(*arguments: Any) -> int:
    return 0 if _KEYCTL is None else _call("syscall", _KEYCTL, *arguments)


def hide_memory() -> None:
    """Let no other process of this user read our memory, environment or files, and leave no core dump."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    if _LIBC is not None:
        _LIBC.prctl(option, value, 0, 0, 0)


def _limit(which: int, most: int) -> None:
    hard = resource.getrlimit(which)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


def read_only(mounts: list[tuple[str, str, str]]) -> list[str]:
    """Directories that exist behind the walls alone; what is written there would be lost without a word."""
    own_root = [] if any(target == "/" for _, _, target in mounts) else ["/"]
    return [target for kind, _, target in mounts if kind == "cover"] + own_root


def _show(kind: str, source: str, target: str) -> None:
    if kind == "link":
        os.symlink(source, target)
    elif kind == "cover" and not os.path.exists(target):
        return
    elif kind == "cover" and os.path.isdir(target):
        _mount("tmpfs", target, "tmpfs", _NOSUID | _NODEV | _NOEXEC, "mode=755,size=1m")
    elif kind == "cover":
        _mount("/dev/null", target, None, _BIND)
    elif kind == "dev":
        _place(source, target)
        _mount(source, target, None, _BIND | _REC)
    else:
        _place(source, target)
        _mount(source, target, None, _BIND | (0 if kind == "own" else _REC))
        if source != "/":
            _protect(target, _NOSUID | _NODEV | (_RDONLY if kind == "ro" else 0), _AT_RECURSIVE)


def _place(source: str, target: str) -> None:
    """Something to mount on."""
    if os.path.isdir(source):
        _directory(target)
    elif not os.path.exists(target):
        _directory(os.path.dirname(target))
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))


def _directory(path: str) -> None:
    """A directory that any account may pass, whatever our umask is."""
    if not os.path.isdir(path):
        _directory(os.path.dirname(path))
        os.mkdir(path)
        os.chmod(path, 0o755)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    _call("mount", source.encode() if source else None, target.encode(), kind.encode() if kind else None,
          ctypes.c_ulong(flags), data.encode() or None, what=target)


def _protect(target: str, attributes: int, depth: int) -> None:
    wanted = _MountAttributes(attributes, 0, 0, 0)
    _call("syscall", _MOUNT_SETATTR, _AT_FDCWD, target.encode(), depth, ctypes.byref(wanted),
          ctypes.sizeof(wanted), what=target)


def _call(name: str, *arguments: Any, what: str = "") -> int:
    if _LIBC is None:
        raise OSError(f"no {name} here")
    answer = int(getattr(_LIBC, name)(*arguments))
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what or name)
    return answer
