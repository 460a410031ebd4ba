"""A guard: it starts programs, one after the other, and lets nothing of one be there when the next begins.

    keeper ── guard ── program ── whatever the program starts
    keeper ── its parent outside ── guard, the first process behind walls ── program …

The pilot writes lines of JSON to the guard's socket: {argv, env, cwd, stdout, stderr} starts a program,
{signal} sends a signal to all of it, and {signal: 0} is answered by {} at once. It reads {pid} of the process
below which all is, or {error} when there are no walls. After each program it reads {status, seconds, memory,
keep}: the status as `subprocess` gives it, processor seconds, GB of the largest process, and whether the
guard is as it was. When the socket closes, everything ends.

A guard adopts whatever its program leaves behind, also in sessions of its own, and kills it when the program
has ended: without walls by prctl(2), PR_SET_CHILD_SUBREAPER (where there is none, what left the program's
process group is not found), behind them as the first process there is. Programs have the guard's account, so
they may change its limits, its priority, its cores; and message queues, shared memory and keys outlive
processes. A guard that is not as it was says so, and is replaced.

The process that forks for each guard imports this: nothing is imported that we can do without.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import stat
import sys
import time

from grid.guarding.family import adopt, below, family, send
from iceprod.walls import bubblewrap, namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any, NoReturn

__all__ = ["serve"]

_CANNOT_PREPARE, _NOT_FOUND = 126, 127
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_MOST = 1 << 16  # bytes of one read: more would have the kernel map and unmap memory for each
_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


def serve(link: socket.socket, box: dict[str, Any]) -> NoReturn:
    """Run what comes over a socket, in a sandbox's box, until it closes; ends the process."""
    os.setsid()
    me = os.getpid()
    if box:
        namespaces.leave_keyring()
    try:
        if box.get("means") == "namespaces":
            first = namespaces.begin_walled(box["root"], box["mounts"], box["account"] is not None,
                                            lambda: Walled(link, box, me).serve())
            link.close()
            _end_as(os.waitpid(first, 0)[1])
        Guard(link, box, me).serve()
    except OSError as error:
        with contextlib.suppress(OSError):
            _tell(link, {"error": f"no sandbox: {error.strerror or error}"})
    os._exit(_CANNOT_PREPARE)


class Guard:
    """Without walls of ours around it: those of bubblewrap, another account, or none."""

    def __init__(self, link: socket.socket, box: dict[str, Any], pid: int) -> None:
        self.link, self.box, self.pid, self.buffer = link, box, pid, b""
        self.program, self.seconds, self.memory = 0, 0.0, 0.0
        self.nothing = os.open(os.devnull, os.O_RDONLY)
        self.wake, wakeup = os.pipe()
        for end in (self.wake, wakeup):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        self.prepare()
        self.standing = self.stands()

    def prepare(self) -> None:
        """Become what programs are started by. Raises OSError."""
        adopt()
        if self.box.get("means") == "bwrap":
            namespaces.limit(self.box["file_bytes"])

    def serve(self) -> NoReturn:
        """Run programs until nobody asks for any."""
        _tell(self.link, {"pid": self.pid})
        sources: list[Any] = [self.link, self.wake]
        with contextlib.suppress(OSError):
            while True:
                readable = select.select(sources, [], [])[0]
                if self.wake in readable:
                    self.reap()
                if self.link in readable and not self.listen():
                    break
        self.clear()
        os._exit(0)

    def listen(self) -> bool:
        """Do what the pilot says; False when it is gone."""
        data = self.link.recv(_MOST)
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "argv" in request:
                self.start(request)
            elif request["signal"]:
                self.send(request["signal"])
            else:
                _tell(self.link, {})
        return bool(data)

    # -- one program

    def start(self, request: dict[str, Any]) -> None:
        """Start a program; one that cannot be started has ended."""
        self.seconds = self.memory = 0.0
        opened: list[int] = []
        try:
            trouble = self.enter(request["cwd"])
            if trouble and not os.path.isabs(request["stderr"]):
                raise trouble  # where we are now is perhaps another task's directory
            opened += [self.open_output(request[name]) for name in ("stderr", "stdout")]
            if trouble:
                raise trouble
            self.program = self.spawn(request, opened[::-1])
        except (OSError, ValueError) as error:
            self.refuse(request["argv"][0], error, opened)
        for descriptor in opened:
            os.close(descriptor)

    def enter(self, directory: str) -> OSError | None:
        """Go where the program works; what was in the way."""
        try:
            os.chdir(directory)
        except OSError as error:
            return error
        return None

    def refuse(self, name: str, error: Exception, opened: list[int]) -> None:
        """A program could not be started; to be told where it prints errors."""
        if len(opened) == 2:
            os.write(opened[0], f"cannot start {name}: {error}\n".encode())
        self.answer(_NOT_FOUND if len(opened) == 2 else _CANNOT_PREPARE)

    def open_output(self, path: str) -> int:
        """Open a file that a program's output is added to; what is no file by now is refused."""
        descriptor = os.open(path, _APPEND, 0o600)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is no file")
        os.set_blocking(descriptor, True)
        if self.box.get("means") == "account":
            if status.st_nlink > 1 and status.st_uid != self.box["account"][0]:
                raise OSError(f"{path} is a file of somebody else")
            os.fchown(descriptor, *self.box["account"])
        return descriptor

    def spawn(self, request: dict[str, Any], outputs: list[int]) -> int:
        """Start a program; its pid. Raises OSError, ValueError."""
        argv, env, descriptors = request["argv"], request["env"], [self.nothing, *outputs]
        if self.box:
            namespaces.leave_keyring()  # that of the program before
        if self.box.get("means") == "bwrap":
            argv = bubblewrap.command(self.box, argv, request["cwd"])
        if self.box.get("means") != "account":
            with contextlib.suppress(NotImplementedError, AttributeError):  # not every C library can
                return _spawn(argv, env, descriptors)
        program = os.fork()
        if program == 0:
            self.become(argv, env, descriptors)
        return program

    def become(self, argv: list[str], env: dict[str, str], descriptors: list[int]) -> NoReturn:
        """Become the program, of another account if the box says so."""
        try:
            os.setsid()
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            for target, descriptor in enumerate(descriptors):
                os.dup2(descriptor, target)
            if self.box.get("means") == "account":
                namespaces.confine(self.box["account"], self.box["processes"], self.box["file_bytes"])
            namespaces.die_with_parent()
            os.execvpe(argv[0], argv, env)
        except (OSError, ValueError) as error:
            os.write(2, f"cannot start {argv[0]}: {getattr(error, 'strerror', None) or error}\n".encode())
        os._exit(_NOT_FOUND)

    def reap(self) -> None:
        """Take note of what ended; with the program, all of it ends."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake, 1024)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)) is not None:
                if ended.si_pid == self.program:  # all that there is to do where nothing is adopted
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(self.program, signal.SIGKILL)
                _, status, usage = os.wait4(ended.si_pid, 0)
                self.count(usage)
                if ended.si_pid == self.program:
                    self.clear()
                    self.answer(self.status_of(status))

    def status_of(self, status: int) -> int:
        walled = self.box.get("means") == "bwrap"
        return os.waitstatus_to_exitcode(bubblewrap.status_of(status) if walled else status)

    def count(self, usage: resource.struct_rusage) -> None:
        self.seconds += usage.ru_utime + usage.ru_stime
        self.memory = max(self.memory, usage.ru_maxrss / 1e6)

    def answer(self, status: int) -> None:
        """Tell how the program ended."""
        self.program = 0
        _tell(self.link, {"status": status, "seconds": self.seconds, "memory": self.memory,
                          "keep": self.stands() == self.standing})

    # -- what it leaves

    def send(self, number: int) -> None:
        """Send a signal to all that the program started."""
        send(below(self.pid, family()), number)

    def clear(self) -> None:
        """Kill and reap all children, until there are none: each that dies may leave us its own."""
        pause = 0.001
        while True:
            try:
                while (ended := os.wait4(-1, os.WNOHANG))[0]:
                    self.count(ended[2])
            except ChildProcessError:
                return
            self.send(signal.SIGKILL)
            time.sleep(pause)
            pause = min(2 * pause, 0.1)

    def stands(self) -> list[Any]:
        """What a program may have changed that the next would inherit."""
        own: list[Any] = [resource.getrlimit(which) for which in _LIMITS]
        own.append(os.getpriority(os.PRIO_PROCESS, 0))
        if sys.platform == "linux":
            own += [os.sched_getaffinity(0), os.sched_getscheduler(0)]
        return own


class Walled(Guard):
    """The first process behind walls, which has given up all rights, and become the account of programs."""

    def prepare(self) -> None:
        os.chdir(self.box["mounts"][-1][2])  # where its account may perhaps not come by itself
        self.queues = namespaces.open_queues()
        namespaces.confine(self.box["account"], self.box["processes"], self.box["file_bytes"])
        namespaces.hide_memory()
        namespaces.die_with_parent()

    def enter(self, directory: str) -> OSError | None:
        return None  # we are there

    def send(self, number: int) -> None:
        send([-1], number)  # all behind the walls, but us

    def stands(self) -> list[Any]:
        queues = [_left_in(one) for one in self.queues]
        return [*super().stands(), *queues, *namespaces.user_keys()]


def _left_in(queues: int) -> int | bytes:
    """What tells whether something outlives its program: of a directory its size, which counts entries."""
    status = os.fstat(queues)
    return status.st_size if stat.S_ISDIR(status.st_mode) else os.pread(queues, 4096, 0)


def _spawn(argv: list[str], env: dict[str, str], descriptors: list[int]) -> int:
    """Start a program from the PATH that it is given, in a session of its own. Raises OSError, ValueError."""
    folders = [""] if "/" in argv[0] else os.get_exec_path(env)
    found: OSError | None = None
    for folder in folders:
        try:
            return os.posix_spawn(
                os.path.join(folder, argv[0]), argv, env, setsid=True, setsigmask=[], setsigdef=_SIGNALS,
                file_actions=[(os.POSIX_SPAWN_DUP2, one, target) for target, one in enumerate(descriptors)])
        except (FileNotFoundError, NotADirectoryError) as error:
            found = found or error
        except OSError as error:
            found = error if found is None or isinstance(found, FileNotFoundError) else found
    raise found or FileNotFoundError(2, os.strerror(2), argv[0])


def _tell(link: socket.socket, answer: dict[str, Any]) -> None:
    link.sendall(json.dumps(answer).encode() + b"\n")


def _end_as(status: int) -> NoReturn:
    """End as a process ended, so that our parent reads its status."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))
