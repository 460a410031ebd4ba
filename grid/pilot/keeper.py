"""The process that starts a pilot's programs, and lets nothing of them outlive their task.

It is a process of its own, small, so that it forks fast: what a fork costs goes with what is imported, so
nothing is that we can do without. It needs Python 3.9's standard library only. ::

    pilot ── socket ── keeper ─┬─ guard ── program ── whatever the program starts
                               └─ guard ── program …

The pilot writes lines of JSON to the socket: {id, argv, env, cwd, stdout, stderr, box} starts a program, in
the sandbox that `box` describes (see `iceprod.walls`) or without one; {id, signal} sends a signal to all that
it started. It reads {id, pid} of the guard, and {id, status, seconds, memory} at the end: the status as
`subprocess` gives it, processor seconds, and GB of the largest process.

A guard adopts whatever its program leaves behind, also in sessions of its own (prctl(2),
PR_SET_CHILD_SUBREAPER), and kills it when the program has ended. When the pilot dies, the socket closes, and
the keeper has all guards kill what they guard; when the keeper dies, the kernel tells the guards. Where there
is no prctl, what left the program's process group is not found. What a program behind walls leaves, the
kernel itself ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
import stat
import sys
import time

from iceprod.walls import bubblewrap, namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

__all__ = ["Keeper", "below", "family", "main"]

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_CANNOT_PREPARE, _NOT_FOUND = 126, 127
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_REQUESTS = (signal.SIGTERM, signal.SIGHUP)  # to a guard: ask its processes to end, kill them
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK


def _prctl(option: int, value: int) -> None:
    if _LIBC is not None:
        _LIBC.prctl(option, value, 0, 0, 0)


def family() -> dict[int, list[int]]:
    """All processes by their parent (proc(5); empty where there is no /proc)."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    return children


def below(root: int, children: dict[int, list[int]]) -> list[int]:
    """All descendants of a process."""
    found, unseen = [], [root]
    while unseen:
        own = children.get(unseen.pop(), [])
        found += own
        unseen += own
    return found


def send(pids: list[int], number: int) -> None:
    """Send a signal to processes, but for those that are gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


# -- the guard


def guard(request: dict[str, Any], keeper: int) -> NoReturn:
    """Run one program to its end, then kill what it left; ends as the program ended."""
    os.setsid()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    box = request.get("box") or {}
    try:
        outputs = [open_output(request[name], box.get("account")) for name in ("stdout", "stderr")]
        if box.get("means") == "namespaces":
            end_as(guard_walled(request, box, keeper, outputs))
    except OSError as error:
        os.write(2, f"cannot prepare {request['argv'][0]}: {error}\n".encode())
        os._exit(_CANNOT_PREPARE)
    me = os.getpid()
    watch(keeper, lambda: below(me, family()))
    program = os.fork()
    if program == 0:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != me:
            os._exit(_CANNOT_PREPARE)
        become(request, outputs)
    status = wait_for(program)
    clear(me)
    end_as(bubblewrap.status_of(status) if box.get("means") == "bwrap" else status)


def guard_walled(request: dict[str, Any], box: dict[str, Any], keeper: int, outputs: list[int]) -> int:
    """Run one program behind walls to its end; its status. Raises OSError."""
    first, reading = namespaces.begin_walled(box["root"], box["mounts"], box["account"] is not None,
                                             lambda: become(request, outputs))
    watch(keeper, lambda: [first])
    try:
        return namespaces.end_walled(first, reading)
    except namespaces.CannotWall as error:
        os.write(outputs[1], f"cannot start {request['argv'][0]} in its sandbox: {error}\n".encode())
        os._exit(_CANNOT_PREPARE)


def watch(keeper: int, guarded: Callable[[], list[int]]) -> None:
    """Pass on to those whom we guard what is asked of us, and have the kernel ask when the keeper dies."""
    signal.signal(signal.SIGTERM, lambda number, frame: send(guarded(), number))
    signal.signal(signal.SIGHUP, lambda number, frame: send(guarded(), signal.SIGKILL))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGHUP)
    if os.getppid() != keeper:
        send(guarded(), signal.SIGKILL)
        os._exit(_CANNOT_PREPARE)


def open_output(path: str, account: tuple[int, int] | None) -> int:
    """Open a file that a program's output is added to; what is no file by now is refused."""
    descriptor = os.open(path, _APPEND, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(f"{path} is no file")
    os.set_blocking(descriptor, True)
    if account is not None:
        os.fchown(descriptor, *account)
    return descriptor


def become(request: dict[str, Any], outputs: list[int]) -> NoReturn:
    """Become the program."""
    for number in (*_REQUESTS, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    argv, box = request["argv"], request.get("box")
    try:
        for target, descriptor in enumerate([os.open(os.devnull, os.O_RDONLY), *outputs]):
            os.dup2(descriptor, target)
        os.chdir(request["cwd"])
        if box and box["means"] == "bwrap":
            argv = bubblewrap.command(box, argv, request["cwd"])
            namespaces.limit(box["file_bytes"])
        elif box:
            namespaces.confine(box["account"], box["processes"], box["file_bytes"])
    except OSError as error:
        os.write(2, f"cannot prepare {argv[0]}: {error}\n".encode())
        os._exit(_CANNOT_PREPARE)
    try:
        os.execvpe(argv[0], argv, request["env"])
    except (OSError, ValueError) as error:
        os.write(2, f"cannot start {argv[0]}: {getattr(error, 'strerror', None) or error}\n".encode())
        os._exit(_NOT_FOUND)


def wait_for(program: int) -> int:
    """Wait for the program's end, reaping what it leaves to us meanwhile; its status."""
    while True:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        assert ended is not None  # only a call that does not wait gives None
        if ended.si_pid == program:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(program, signal.SIGKILL)  # all that there is to do where nothing is adopted
        status = os.waitpid(ended.si_pid, 0)[1]
        if ended.si_pid == program:
            return status


def clear(root: int) -> None:
    """Kill and reap all children, until there are none: each that dies may leave us its own."""
    pause = 0.001
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        send(below(root, family()), signal.SIGKILL)
        time.sleep(pause)
        pause = min(2 * pause, 0.1)


def end_as(status: int) -> NoReturn:
    """End as the program ended, so that our parent reads its status and what it used."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


# -- the keeper


class Keeper:
    """Starts guards and tells the pilot of their ends."""

    def __init__(self, pilot: socket.socket) -> None:
        self.pilot, self.buffer = pilot, b""
        self.guards: dict[int, int] = {}  # id of the program by pid of its guard
        self.wake, wakeup = os.pipe()
        for end in (self.wake, wakeup):
            os.set_blocking(end, False)
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)  # the pilot decides
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def run(self) -> None:
        """Serve the pilot until it is gone; then end everything."""
        with contextlib.suppress(OSError):
            while True:
                sources: list[Any] = [self.pilot, self.wake]
                readable = select.select(sources, [], [])[0]
                if self.wake in readable:
                    self.reap()
                if self.pilot in readable and not self.listen():
                    break
        send(list(self.guards), signal.SIGHUP)
        while self.guards:
            self.reap(0)

    def listen(self) -> bool:
        """Do what the pilot says; False when it is gone."""
        data = self.pilot.recv(1 << 20)
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "argv" in request:
                self.start(request)
            else:
                send([pid for pid, key in self.guards.items() if key == request["id"]], request["signal"])
        return bool(data)

    def start(self, request: dict[str, Any]) -> None:
        keeper = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, _REQUESTS)  # none is lost before the guard can obey
        try:
            pid = os.fork()
        except OSError as error:
            self.tell({"id": request["id"], "error": f"cannot fork: {error.strerror}"})
            return
        if pid == 0:
            signal.set_wakeup_fd(-1)
            self.pilot.close()
            guard(request, keeper)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)
        self.guards[pid] = request["id"]
        self.tell({"id": request["id"], "pid": pid})

    def reap(self, how: int = os.WNOHANG) -> None:
        """Tell the pilot of the guards that ended."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake, 1024)
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, how)
                if not pid:
                    return
                if pid in self.guards:
                    self.told(pid, status, usage)
                if os.WIFSIGNALED(status):  # maybe a guard was killed: what it guarded is ours now
                    self.clear()
                how = os.WNOHANG

    def clear(self) -> None:
        """Kill what a guard left to us."""
        children = family()
        for pid in children.get(os.getpid(), []):
            if pid not in self.guards:
                send([pid, *below(pid, children)], signal.SIGKILL)

    def told(self, pid: int, status: int, usage: resource.struct_rusage) -> None:
        with contextlib.suppress(OSError):
            self.tell({"id": self.guards.pop(pid), "status": os.waitstatus_to_exitcode(status),
                       "seconds": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss / 1e6})

    def tell(self, answer: dict[str, Any]) -> None:
        self.pilot.sendall(json.dumps(answer).encode() + b"\n")


def main(descriptor: int) -> None:
    """Serve the pilot at the other end of a socket."""
    gc.freeze()
    gc.disable()  # a collection in each child would copy all that it shares with us
    Keeper(socket.socket(fileno=descriptor)).run()
