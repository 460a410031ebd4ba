"""Programs that want what is not theirs, behind each kind of wall that this machine can build."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from grid.guarding import contents
from grid.guarding.directories import Directories
from grid.guarding.launcher import Launcher
from grid.pilot import ends
from grid.pilot.room import Share
from grid.pilot.running import Running
from grid.pilot.script import Script
from iceprod.walls import sandbox
from iceprod.walls.sandbox import Sandbox, View, find_sandbox

SECRET = "the-word-that-signs-tokens"


@dataclass
class Machine:
    """A data directory with what is worth stealing, and a process of its owner."""

    data: Path
    victim: subprocess.Popen[bytes]
    listener: socket.socket
    box: Sandbox

    def run(self, text: str, name: str = "t1", **requirements: float) -> tuple[ends.End, dict[str, str]]:
        """Run a shell script as a task does."""
        return self.task({"trays": [{"modules": [{"src": "/bin/sh", "args": ["-c", text]}]}]}, name,
                         **requirements)

    def task(self, config: dict[str, Any], name: str = "t1",
             **requirements: float) -> tuple[ends.End, dict[str, str]]:
        task = {"task_id": name, "instance_id": "i", "requirements": requirements,
                "payload": {"dataset": 7, "job_index": 3, "name": "work", "task": config}}
        launcher = Launcher()
        script = Script(Running(task, Share(1, 1.0, 1.0)), self.data / "work" / name, launcher,
                        sandbox=self.box)
        try:
            return script.run(), script.logs()
        finally:
            script.clean()
            launcher.close()
            assert not script.directory.exists()

    def series(self, *tasks: tuple[str, str]) -> tuple[list[str], list[int]]:
        """What Python programs print, each in a task of a dataset; and the number of each one's guard.

        A pilot runs them one after the other, each where the one before worked if that may be.
        """
        launcher = Launcher()
        directories = Directories(self.data / "work", launcher, self.box)
        printed, guards = [], []
        for number, (dataset, text) in enumerate(tasks):
            module = {"src": sys.executable, "args": ["-c", text]}
            task = {"task_id": f"t{number}", "instance_id": "i", "dataset_id": dataset, "requirements": {},
                    "payload": {"task": {"trays": [{"modules": [module]}]}}}
            script = Script(Running(task, Share(1, 1.0, 1.0)), directories.take(dataset), launcher,
                            sandbox=self.box, put_away=partial(directories.give, dataset))
            script.run()
            printed.append("".join(script.logs().values()))
            guards.append(max((guard.number for guard in launcher._idle), default=0))
            script.clean()
        launcher.close()
        directories.close()
        assert os.listdir(self.data / "work") == ["other"]
        return printed, guards

    def python(self, text: str, **more: Any) -> str:
        """What a Python program prints, errors last."""
        module = {"src": sys.executable, "args": ["-c", text]}
        _, logs = self.task({"trays": [{"modules": [module]}]}, **more)
        return logs.get("stdout", "") + logs.get("stderr", "")


def ways() -> dict[str, Any]:
    return {"as found": lambda one: one,
            "user namespace": lambda one: replace(one, means="namespaces", account=None),
            "bubblewrap": lambda one: replace(one, means="bwrap", account=None)}


@pytest.fixture(params=ways())
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    data = tmp_path / "data"
    for folder in (data, data / "work", data / "work" / "other", data / "tokens"):
        folder.mkdir(mode=0o700)
    for file in (data / "secret", data / "work" / "other" / "input", data / "tokens" / "pilot"):
        file.write_text(SECRET)
    (tmp_path / "shown").mkdir()
    view = View(readable=(str(tmp_path),), hidden=(str(data), str(data / "work")))
    found = find_sandbox("auto", view, "nobody")
    box = ways()[request.param](found)
    if trouble := sandbox._try(box):
        pytest.skip(f"{request.param}: {trouble}")
    if not box.is_walled:
        pytest.skip(box.why)
    victim = subprocess.Popen(["sleep", "600"], env={"VICTIM": SECRET}, start_new_session=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(data / "store.sock"))
        listener.listen()
        yield Machine(data, victim, listener, box)
    victim.kill()
    victim.wait()


def test_the_data_directory_is_not_there(machine: Machine) -> None:
    for path in (machine.data / "secret", machine.data / "tokens/pilot", machine.data / "work/other/input",
                 Path.home() / ".bashrc", "../../tokens/pilot", "../other/input"):
        end, logs = machine.run(f"cat {path}")
        assert end.outcome == ends.RESET
        assert "No such file" in logs["stderr"] or "Permission denied" in logs["stderr"]
        assert SECRET not in str(logs)


def test_an_environment_shell_sees_no_more(machine: Machine) -> None:
    spy = f"cat {machine.data}/secret > got; cat got; exec \"$@\""
    module = {"src": "/bin/echo", "args": ["$HOME"], "env_shell": f"/bin/sh -c '{spy}' sh"}
    assert SECRET not in str(machine.task({"trays": [{"modules": [module]}]}))


def test_nothing_of_it_is_found_anywhere(machine: Machine) -> None:
    places = f"{machine.data.parent} /tmp /var/tmp /run /home /dev/shm"
    _, logs = machine.run(f"grep -rs {SECRET[:-1]}[s] {places}; find {places} -name secret")
    assert logs.get("stdout", "") == ""


def test_the_stores_socket_cannot_be_reached(machine: Machine) -> None:
    said = machine.python("import socket; "
                          f"socket.socket(socket.AF_UNIX).connect('{machine.data}/store.sock')")
    assert "FileNotFoundError" in said or "PermissionError" in said


def test_other_processes_are_not_there(machine: Machine) -> None:
    pid = machine.victim.pid
    _, logs = machine.run(f"kill -9 {pid} {os.getpid()}; cat /proc/{pid}/environ; "
                          "ls /proc | grep -c '^[0-9]'; cat /proc/[0-9]*/cmdline")
    assert machine.victim.poll() is None
    assert "No such process" in logs["stderr"]
    assert SECRET not in logs["stdout"]
    assert "sleep\0" not in logs["stdout"]
    assert int(logs["stdout"].splitlines()[0]) < 10


def test_a_signal_to_everybody_reaches_its_own_alone(machine: Machine) -> None:
    machine.run("kill -9 -1")
    assert machine.victim.poll() is None


def test_processes_cannot_be_traced(machine: Machine) -> None:
    others = [machine.victim.pid, os.getpid(), *([1] if machine.box.means != "bwrap" else [])]
    said = machine.python("import ctypes, os; c = ctypes.CDLL(None, use_errno=True)\n"
                          f"for pid in {others}:\n"
                          "    print(pid, c.ptrace(16, pid, 0, 0), os.strerror(ctypes.get_errno()))\n")
    assert said.count(" -1 ") == len(others)
    if machine.box.means == "bwrap":  # whose first process has nothing that its program has not
        return
    assert "PermissionError" in machine.python("open('/proc/1/mem', 'rb')")
    assert "PermissionError" in machine.python("print(open('/proc/1/environ').read())")


def test_nothing_outside_can_be_written(machine: Machine) -> None:
    targets = ["/usr/x", "/etc/x", "/x", machine.data.parent / "shown" / "x", "/dev/x", "/proc/sys/kernel/x",
               "/sys/x", Path(sys.prefix) / "x"]
    for target in targets:
        end, _ = machine.run(f"echo bad > {target}")
        assert end.outcome == ends.RESET
        assert not Path(target).exists()


def test_tmp_is_private(machine: Machine, tmp_path: Path) -> None:
    name = f"iceprod-test-{tmp_path.parent.name}-{tmp_path.name}"
    end, logs = machine.run(f"touch /tmp/{name} /var/tmp/{name} /dev/shm/{name} && ls /tmp | grep {name}")
    assert end.outcome == ends.COMPLETE, logs
    assert not [folder for folder in ("/tmp", "/var/tmp", "/dev/shm") if Path(folder, name).exists()]
    end, logs = machine.run(f"ls /tmp | grep -c {name}", "t2")
    assert logs["stdout"] == "0\n"


def test_the_walls_cannot_be_taken_down(machine: Machine) -> None:
    said = machine.run(f"umount {machine.data}; umount /usr; mount -t tmpfs x /usr; "
                       f"unshare -Urm sh -c 'umount {machine.data}; umount /proc; mount -o remount,rw /usr; "
                       f"touch /usr/x; cat {machine.data}/secret'; cat {machine.data}/secret")
    assert SECRET not in str(said)
    assert not Path("/usr/x").exists()


def test_links_lead_the_pilot_nowhere(machine: Machine) -> None:
    secret = machine.data / "secret"
    _, logs = machine.run(f"rm -f stdout stderr; ln -s {secret} stdout; ln -s {secret} stderr; exit 3")
    assert SECRET not in str(logs)
    machine.run("rm -f stdout; mkfifo stdout")  # the pilot does not wait for somebody to write into it
    module = {"src": "/bin/sh", "args": ["-c", f"rm -f stdout; ln -s {secret} stdout"]}
    machine.task({"trays": [{"modules": [module, {"src": "/bin/echo", "args": ["forged"]}]}]})
    assert secret.read_text() == SECRET


@pytest.mark.parametrize("movement", ["input", "output"])
def test_files_that_a_task_names_are_those_that_it_may_see(machine: Machine, movement: str) -> None:
    modules = [{"src": "/bin/sh", "args": ["-c", "cat got || echo mine > got"]}]
    data = [{"movement": movement, "local": "got", "remote": f"file://{machine.data}/secret"}]
    end, logs = machine.task({"trays": [{"modules": modules}], "data": data})
    assert "transfer failure" in end.reason
    assert SECRET not in str(logs)
    assert (machine.data / "secret").read_text() == SECRET


def test_shown_files_are_brought(machine: Machine) -> None:
    shown = machine.data.parent / "shown" / "input"
    shown.write_text("good")
    for path, mode in ((shown, 0o644), (shown.parent, 0o755), (machine.data.parent, 0o755)):
        path.chmod(mode)  # whatever the umask is
    data = [{"movement": "input", "local": "got", "remote": f"file://{shown}"},
            {"movement": "input", "local": "more", "remote": f"file://{shown}s", "transfer": "maybe"}]
    end, logs = machine.task({"trays": [{"modules": [{"src": "/bin/cat", "args": ["got"]}]}], "data": data})
    assert (end.outcome, logs["stdout"]) == (ends.COMPLETE, "good")


def test_a_fork_bomb_ends_with_its_task(machine: Machine) -> None:
    if os.getuid() == 0 and machine.box.account is None:
        pytest.skip("the kernel counts no processes of root")
    machine.box = replace(machine.box, processes=40)
    end, logs = machine.run("for i in $(seq 200); do sleep 301 & done; wait")
    assert end.outcome == ends.RESET
    assert "fork" in logs["stderr"] or "process limit" in end.reason
    assert b"sleep\x00301\x00" not in map(_command_line, filter(str.isdigit, os.listdir("/proc")))


def _command_line(pid: str) -> bytes:
    try:
        return Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return b""


def test_it_fills_no_more_disk_than_its_share(machine: Machine) -> None:
    end, _ = machine.run("head -c 200000000 /dev/zero > big", disk=0.01)
    assert end.outcome == ends.RESET
    assert end.resources["disk"] < 0.1
    more = "i=0; while :; do i=$((i+1)); head -c 5000000 /dev/zero > /tmp/part$i; done"
    end, _ = machine.run(more, disk=0.01)
    assert "disk limit" in end.reason


def test_directories_without_end_or_rights_are_removed(machine: Machine) -> None:
    deep = "import os\nfor _ in range(1100):\n    os.mkdir('d'); os.chdir('d')\n"
    machine.python(deep)
    machine.run("mkdir locked; touch locked/x; chmod 0 locked")


def test_ends_are_told_as_without_walls(machine: Machine) -> None:
    assert machine.run("exit 3")[0].reason.endswith("ended with status 3")
    assert "was killed by SIGSEGV" in machine.run("kill -SEGV $$")[0].reason
    absent = {"trays": [{"modules": [{"src": "/no/such"}]}]}
    assert "No such file" in machine.task(absent)[0].reason
    assert machine.run("sleep 30 & echo $! ; id -u")[0].outcome == ends.COMPLETE


FINE = "open('result', 'w').write('done'); import os; os.unlink('result')"
SEEN = ("import os, sys; seen = [sorted(os.listdir(one)) for one in ('.', '/tmp', '/dev/shm')]; "
        "print([n for names in seen for n in names if n not in ('stdout', 'stderr', '.root', '.tmp')], "
        "len([n for n in os.listdir('/proc') if n.isdigit()]))")


def test_tasks_of_a_dataset_share_a_guard_and_others_do_not(machine: Machine) -> None:
    _, guards = machine.series(("a", FINE), ("a", FINE), ("b", FINE), ("a", FINE), ("", FINE), ("", FINE))
    assert guards[0] == guards[1] != guards[2]
    assert guards[4] != guards[5]  # of nobody


@pytest.mark.parametrize("left", [
    "open('mine', 'w')", "open('/tmp/mine', 'w')", "open('/dev/shm/.mine', 'w')", "os.mkdir('.tmp/mine')",
    "os.symlink('/etc', 'mine')", "os.mkfifo('stdin')", "os.chmod('.', 0o777)", "os.chmod('/tmp', 0o1777)",
    "os.setxattr('.', 'user.mine', b'1')", "os.unlink('stdout'); os.mkdir('stdout')",
    "os.unlink('stdout'); os.symlink('/etc/passwd', 'stdout')",
])
def test_the_next_task_sees_nothing_of_the_last(machine: Machine, left: str) -> None:
    before, (_, _) = machine.series(("a", FINE), ("a", SEEN))
    after, _ = machine.series(("a", f"import os; {left}"), ("a", SEEN))
    assert after[1] == before[1]
    assert "mine" not in after[1]


@pytest.mark.parametrize("left", ["open('/tmp/mine', 'w')", "os.mkdir('.tmp/mine')",
                                  "os.chmod('/tmp', 0o1777)", "os.setxattr('/tmp', 'user.mine', b'1')"])
def test_a_directory_that_was_believed_unchanged_is_not_when_it_is(machine: Machine, left: str,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_COARSE", 0.0)
    where = "import os; print(os.getcwd())"
    tasks = [("a", text) for text in (where, where, f"import os; {left}", where, SEEN)]
    (first, second, _, after, seen), _ = machine.series(*tasks)
    assert first == second != after
    assert "mine" not in seen


DAEMON = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 100)
            while True:
                os.path.exists('/tmp/x') or os.close(os.open('/tmp/x', os.O_CREAT))
                time.sleep(0.001)
        os._exit(0)
time.sleep(0.1)
"""


def test_no_process_is_there_when_the_next_task_begins(machine: Machine) -> None:
    (_, clean), _ = machine.series(("a", FINE), ("a", SEEN))
    (_, after), _ = machine.series(("a", DAEMON), ("a", SEEN))
    assert after == clean


QUEUES = """
import ctypes, os
c = ctypes.CDLL(None, use_errno=True)
SYSV = {shm}
if SYSV:
    assert c.shmget(7, 4096, 0o1666) >= 0, ctypes.get_errno()
else:
    c.mq_open(b'/mine', os.O_CREAT | os.O_RDWR, 0o600, None)
"""


@pytest.mark.parametrize("sysv", [True, False])
def test_what_outlives_processes_ends_with_the_guard(machine: Machine, sysv: bool) -> None:
    look = ("import ctypes, os; c = ctypes.CDLL(None); "
            "print(c.shmget(7, 4096, 0o666), c.mq_open(b'/mine', os.O_RDWR))")
    (_, found), _ = machine.series(("a", QUEUES.format(shm=sysv)), ("a", look))
    assert found == "-1 -1\n"


KEYS = """
import ctypes, os
c = ctypes.CDLL(None, use_errno=True)
ADD, KEYCTL = {{"x86_64": (248, 250), "aarch64": (217, 219)}}[os.uname().machine]
print(c.syscall(KEYCTL, 10, {ring}, b"user", b"mine", 0) >= 0)  # search
c.syscall(ADD, b"user", b"mine", b"1", 1, {ring})
"""
SESSION, USER = -3, -4


@pytest.mark.parametrize("ring", [SESSION, USER])
def test_keys_are_neither_the_pilots_nor_the_next_tasks(machine: Machine, ring: int) -> None:
    if ring == USER and machine.box.account:
        return  # an account has these in all views, as docs/security.md says
    program = KEYS.format(ring=ring)
    if ring == SESSION:  # ours has a key, as that of who logged in has
        exec(program.replace("print", "bool"), {})
    said, _ = machine.series(("a", program), ("a", program), ("b", program))
    assert said == 3 * ["False\n"]


@pytest.mark.parametrize("change", [
    "resource.prlimit({pid}, resource.RLIMIT_NOFILE, (64, 64))", "os.setpriority(os.PRIO_PROCESS, {pid}, 7)",
    "os.sched_setaffinity({pid}, {{min(os.sched_getaffinity(0))}})",
])
def test_a_guard_that_was_changed_is_replaced(machine: Machine, change: str) -> None:
    state = ("import os, resource; print(resource.getrlimit(resource.RLIMIT_NOFILE), "
             "os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0))")
    hostile = f"import os, resource; {change.format(pid=1)}"
    said, _ = machine.series(("a", state), ("a", hostile), ("a", state))
    assert said[0] == said[2]


def test_a_guard_that_was_killed_is_the_killers_failure_and_replaced(machine: Machine) -> None:
    hostile = "import os, resource; resource.prlimit(1, resource.RLIMIT_CPU, (0, 0)); os.kill(1, 15)"
    said, _ = machine.series(("a", hostile), ("a", "print('here')"))
    assert said[1] == "here\n"


@pytest.mark.parametrize("place", [".tmp", ".root", ".tmp/{first}"])
def test_links_in_place_of_its_own_directories_show_nothing(machine: Machine, place: str) -> None:
    """A program spoils its guard, so that the task's next one gets another, and all is mounted anew."""
    first = str(machine.data).split("/")[2]
    change = f"""
import contextlib, os, resource
with contextlib.suppress(OSError):
    resource.prlimit(1, resource.RLIMIT_NOFILE, (64, 64))
place = {place.format(first=first)!r}
with contextlib.suppress(FileNotFoundError):
    os.rename(place, place + ".old")
os.symlink({str(machine.data)!r}, place)
"""
    look = ("import os; print([sorted(os.listdir(one)) for one in ('/tmp', '/tmp/" + first + "')]); "
            "print(open('/tmp/secret').read())")
    machine.data.chmod(0o755)
    before = sorted(os.listdir(machine.data))
    modules = [{"src": sys.executable, "args": ["-c", text]} for text in (change, look)]
    _, logs = machine.task({"trays": [{"modules": modules}]})
    assert "secret" not in logs.get("stdout", "")
    assert SECRET not in str(logs)
    assert sorted(os.listdir(machine.data)) == before


@pytest.mark.parametrize("name", ["stdout", "more"])
def test_another_account_is_given_no_file_of_ours(tmp_path: Path, name: str) -> None:
    """A kernel need not keep programs from giving a second name to files that they may not even read."""
    if os.getuid() != 0:
        pytest.skip("only root runs programs as another account")
    secret, directory = tmp_path / "secret", tmp_path / "task"
    secret.write_text(SECRET)
    directory.mkdir()
    os.link(secret, directory / name)
    launcher = Launcher()
    box = Sandbox("account", account=(65534, 65534)).box(str(directory))
    program = launcher.start(["/bin/echo", "mine"], {}, directory, directory / "stdout", directory / "stderr",
                             box)
    assert program.wait(60) or program.wait(60)
    launcher.close()
    assert (secret.read_text(), secret.stat().st_uid) == (SECRET, 0)
    assert program.status == (126 if name == "stdout" else 0)


def test_none_is_said_to_be_none() -> None:
    assert find_sandbox("off", View()).means == "none"
    if os.getuid() == 0:
        assert "no account" in find_sandbox("auto", View(), "no-such-account").why
