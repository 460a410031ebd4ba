"""Script tasks: programs, their files and environment, their limits and their ends."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from grid.guarding.launcher import Launcher
from grid.moving.items import Means
from grid.pilot import ends
from grid.pilot.options import means_from
from grid.pilot.room import Share
from grid.pilot.running import Running
from grid.pilot.script import Script
from server.production.failures.failures import find_rule

_launchers: list[Launcher] = []

NEARLY = 0.225
"""GB: a tenth and a slack above it ends what has taken all of its 0.3, and not while it still grows."""


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    while _launchers:
        _launchers.pop().close()


def script(tmp_path: Path, *modules: dict[str, Any], requirements: dict[str, Any] | None = None,
           means: Means | None = None, **config: Any) -> Script:
    config = {"trays": [{"modules": list(modules)}], **config}
    task = {"task_id": "t1", "instance_id": "i1", "requirements": requirements or {},
            "payload": {"dataset": 7, "job_index": 3, "name": "work", "task": config}}
    _launchers.append(Launcher())
    return Script(Running(task, Share(2, 1.0, 1.0, ("5",))), tmp_path / "work", _launchers[-1],
                  means or Means())


def shell(text: str, **more: Any) -> dict[str, Any]:
    return {"name": "m", "src": "/bin/sh", "args": ["-c", text], **more}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:  # it is not there, or ended while we read
        return False


def gone(pid: int, patience: float = 20.0) -> bool:
    deadline = time.monotonic() + patience
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_a_good_program_completes_and_its_output_is_kept(tmp_path: Path) -> None:
    work = script(tmp_path, shell("echo out; echo err >&2"))
    end = work.run()
    assert (end.outcome, end.reason) == (ends.COMPLETE, "")
    assert work.logs() == {"stdout": "out\n", "stderr": "err\n"}
    work.clean()
    assert not work.directory.exists()


def test_modules_run_in_order_and_stop_at_the_first_failure(tmp_path: Path) -> None:
    work = script(tmp_path, shell("echo one"), shell("echo bad luck >&2; exit 3"), shell("echo three"))
    end = work.run()
    assert end.outcome == ends.RESET
    assert "status 3" in end.reason
    assert "bad luck" in end.reason
    assert work.logs()["stdout"] == "one\n"


def test_iterations_repeat_a_tray(tmp_path: Path) -> None:
    work = script(tmp_path)
    work.running.payload["task"]["trays"] = [{"iterations": 3, "modules": [shell("echo turn $(iter)")]}]
    assert work.run().outcome == ends.COMPLETE
    assert work.logs()["stdout"] == "turn 0\nturn 1\nturn 2\n"


def test_a_long_command_line_comes_whole(tmp_path: Path) -> None:
    words = ["-c", "echo $# ${#1} ${#3}", "x", *["y" * 100_000] * 3]
    work = script(tmp_path, {"src": "/bin/sh", "args": words})
    assert work.run().outcome == ends.COMPLETE
    assert work.logs()["stdout"] == "3 100000 100000\n"


@pytest.mark.parametrize(("args", "seen"), [
    ("-a 'b c' d", ["-a", "b c", "d"]),
    (["x", 1, 2.5, True, None, [1, "a"]], ["x", "1", "2.5", "True", "None", "[1, 'a']"]),
    ({"seed": 4, "name": "n"}, ["--seed=4", "--name=n"]),
    ({"UseGSLRNG": None, "n": 5, "v": None, "gpu": False, "pgam": [2.65, 2.6], "text": "a b"},
     ["--UseGSLRNG", "-n=5", "-v", "--gpu=False", "--pgam=[2.65, 2.6]", "--text=a b"]),
    ({"args": ["a", 1], "kwargs": {"x": 2, "flag": None}}, ["a", "1", "-x=2", "--flag"]),
    ('{"args": ["a"], "kwargs": {}}', ["a"]), ('["a b", 1]', ["a b", "1"]), (7, ["7"]), ([], []), ("", []),
    (None, []),
])
def test_arguments_of_every_form(tmp_path: Path, args: Any, seen: list[str]) -> None:
    (tmp_path / "show.py").write_text("import sys; print(sys.argv[1:])")
    work = script(tmp_path, {"src": str(tmp_path / "show.py"), "args": args})
    assert work.run().outcome == ends.COMPLETE
    assert work.logs()["stdout"].strip() == str(seen)


def test_configs_become_files(tmp_path: Path) -> None:
    work = script(tmp_path, shell("cat sub/c.json", configs={"sub/c.json": {"a": 1}}))
    assert work.run().outcome == ends.COMPLETE
    assert work.logs()["stdout"].split() == ["{", '"a":', "1", "}"]


def test_the_environment_is_clean_unless_asked_otherwise(tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "here")
    monkeypatch.setenv("ICEPROD_TOKEN", "very secret")
    show = 'echo "$MINE/$ICEPROD_TOKEN/$ICEPROD_DATASET/$ICEPROD_JOB/$OMP_NUM_THREADS/$CUDA_VISIBLE_DEVICES"'
    work = script(tmp_path, shell(show), shell(show, env_clear=False))
    assert work.run().outcome == ends.COMPLETE
    assert work.logs()["stdout"] == "//7/3/2/5\nhere//7/3/2/5\n"


def test_env_shell_goes_before_the_program(tmp_path: Path) -> None:
    wrapper = tmp_path / "env-shell.sh"
    wrapper.write_text('#!/bin/sh\nINSIDE=yes exec "$@"\n')
    wrapper.chmod(0o755)
    work = script(tmp_path, {"src": "/bin/sh", "args": ["-c", "echo $INSIDE"], "env_shell": str(wrapper)})
    assert work.run().outcome == ends.COMPLETE
    assert work.logs()["stdout"] == "yes\n"


def test_a_program_that_data_brings_is_found_and_made_executable(tmp_path: Path) -> None:
    (tmp_path / "prog").write_text("#!/bin/sh\necho here $0\n")
    work = script(tmp_path, {"src": "prog"}, data=[{"remote": f"file:{tmp_path}/prog"}])
    assert work.run().outcome == ends.COMPLETE
    assert work.logs()["stdout"] == "here ./prog\n"


@pytest.mark.parametrize("good", [True, False])
def test_a_fetched_program_must_have_its_checksum(tmp_path: Path, good: bool) -> None:
    text = "#!/bin/sh\necho hello\n"
    (tmp_path / "run").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest() if good else "0" * 64
    module = {"src": "run", "data": [{"remote": f"file:{tmp_path}/run", "local": "run", "program": True,
                                      "checksum": f"sha256={digest}"}]}
    end = script(tmp_path, module).run()
    assert end.outcome == (ends.COMPLETE if good else ends.FAILED)
    assert good or f"not {digest}" in end.reason


def test_variables_of_the_environment_and_of_its_shell(tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE_DISK", "/disk")
    monkeypatch.setenv("ICEPROD_TOKEN", "very secret")
    wrapper = tmp_path / "env-shell.sh"
    wrapper.write_text('#!/bin/sh\nexport I3_BUILD=/the/build; exec "$@"\n')
    wrapper.chmod(0o755)
    words = ["$environ(SITE_DISK)/a", "$environ(I3_BUILD)/b", "$I3_BUILD/c", "${SITE_DISK}/d", "$NOT_SET/e",
             "$ICEPROD_TOKEN"]
    work = script(tmp_path, {"src": "/bin/echo", "args": words, "env_shell": str(wrapper)},
                  data=[{"remote": "$environ(SITE_DISK)/none", "transfer": "maybe"}])
    assert work.run().outcome == ends.COMPLETE
    assert work.logs()["stdout"].split() == [
        "/disk/a", "/the/build/b", "/the/build/c", "/disk/d", "$NOT_SET/e", "$ICEPROD_TOKEN"]


def test_steering_and_parts_of_a_task_move_each_file_once(tmp_path: Path) -> None:
    (tmp_path / "gcd").write_text("gcd")
    steering = {"data": [{"remote": f"file:{tmp_path}/gcd"}]}
    between = {"type": "job_temp", "local": "hits"}
    first = shell("cat gcd; echo hits > hits", data=[{**between, "movement": "output"}])
    second = shell("cat hits", data=[{**between, "movement": "input"}, {**between, "movement": "input"}])
    work = script(tmp_path, first, second, means=Means(temp=f"file:{tmp_path}/temp"))
    work.running.payload["steering"] = steering
    assert work.run().outcome == ends.COMPLETE
    assert work.logs()["stdout"] == "gcdhits\n"
    assert (tmp_path / "temp/7/3/hits").exists()


@pytest.mark.parametrize(("module", "text"), [
    ({"src": "/no/such/program"}, "could not be started"),
    ({"src": "/bin/sh", "args": ["-c", "kill -SEGV $$"]}, "SIGSEGV"),
    ({"src": "/bin/sh", "args": ["-c", "kill -KILL $$"]}, "SIGKILL"),
])
def test_other_ways_to_fail(tmp_path: Path, module: dict[str, Any], text: str) -> None:
    end = script(tmp_path, {"name": "m", **module}).run()
    assert end.outcome == ends.RESET
    assert text in end.reason


@pytest.mark.parametrize("module", [
    {"name": "m"}, {"name": "m", "src": 7}, {"name": "m", "src": "/bin/true", "args": "'open"},
    {"name": "m", "src": "/bin/true", "configs": {"../escape": {}}}, {"name": "m", "running_class": "B"},
    {"name": "m", "running_class": "a.B", "args": ["x"]},
    {"name": "m", "src": "/bin/true", "args": "$environ(NO_SUCH_VARIABLE)"},
    {"name": "m", "src": "/bin/true", "data": [{"remote": "", "local": ""}]},
    {"name": "m", "src": "/bin/true", "data": [{"type": "job_temp", "remote": "../../x"}]},
    {"name": "m", "src": "/bin/true", "data": [{"remote": "/etc/hostname", "local": "../../x"}]},
])
def test_what_can_never_run_is_not_tried_again(tmp_path: Path, module: dict[str, Any]) -> None:
    end = script(tmp_path, module, means=Means(temp=f"file:{tmp_path}/temp")).run()
    assert end.outcome == ends.FAILED


@pytest.mark.parametrize("data", [{"remote": "gsiftp://x/y"}, {"type": "job_temp", "remote": "x"}])
def test_what_this_pilot_cannot_move_others_may(tmp_path: Path, data: dict[str, str]) -> None:
    end = script(tmp_path, shell("true"), data=[data]).run()
    assert end.outcome == ends.RESET
    assert find_rule(end.reason).name == "no means"


COPY = {"other": "sh -c 'cp \"${1#other://}\" \"${2#other://}\"' copy {source} {target}"}


def test_files_are_moved_by_a_configured_command(tmp_path: Path) -> None:
    (tmp_path / "in file").write_text("hello")
    data = [{"movement": "input", "remote": f"other://{tmp_path}/in file", "local": "in"},
            {"movement": "input", "remote": f"other://{tmp_path}/absent", "transfer": "maybe"},
            {"movement": "output", "remote": f"other://{tmp_path}/out.txt"},
            {"movement": "output", "remote": f"other://{tmp_path}/none.txt", "transfer": "maybe"}]
    work = script(tmp_path, shell("tr a-z A-Z < in > out.txt; ls"), data=data, means=Means(COPY))
    assert work.run() == ends.End(ends.COMPLETE, "", ANY, ANY, ANY)
    assert (tmp_path / "out.txt").read_text() == "HELLO"
    assert work.logs()["stdout"].split() == ["in", "out.txt", "stderr", "stdout"]


def test_a_command_that_fails_is_tried_again_and_says_why(tmp_path: Path) -> None:
    data = [{"movement": "input", "remote": f"other://{tmp_path}/absent"}]
    end = script(tmp_path, shell("true"), data=data, means=Means(COPY)).run()
    assert end.outcome == ends.RESET
    assert "No such file" in end.reason
    assert find_rule(end.reason).name == "missing file"


def test_a_transfer_can_be_stopped(tmp_path: Path) -> None:
    slow = {"slow": "sh -c 'echo x > begun; sleep 60' {source} {target}"}
    work = script(tmp_path, shell("true"), data=[{"remote": "slow://x/y"}], means=Means(slow))

    def stop() -> None:
        while not (work.directory / "begun").exists():
            time.sleep(0.02)
        work.running.stop("enough")

    threading.Thread(target=stop).start()
    assert work.run().seconds < 50  # and not a minute


@pytest.mark.parametrize(("kind", "place"), [
    ("job_temp", "7/3/a/b.txt"), ("dataset_temp", "7/a/b.txt"), ("site_temp", "a/b.txt")])
def test_temporary_data_go_from_task_to_task(tmp_path: Path, kind: str, place: str) -> None:
    means = Means(temp=f"file:{tmp_path}/temp/")
    item = {"type": kind, "remote": "a/b.txt"}
    first = script(tmp_path, shell("echo hello > b.txt"), data=[{**item, "movement": "output"}], means=means)
    assert first.run().outcome == ends.COMPLETE
    assert (tmp_path / "temp" / place).read_text() == "hello\n"
    first.clean()
    second = script(tmp_path, shell("cat b.txt"), data=[{**item, "movement": "input"}], means=means)
    assert second.run().outcome == ends.COMPLETE
    assert second.logs()["stdout"] == "hello\n"


def test_means_are_told_by_words_and_variables() -> None:
    variables = {"ICEPROD_TRANSFER_GSIFTP": "g {source} {target}", "ICEPROD_TEMP": "file:/t"}
    means = means_from(["osdf=o {source} {target}"], "", variables)
    assert means == Means({"gsiftp": "g {source} {target}", "osdf": "o {source} {target}"}, "file:/t")
    for word in ("osdf", "=x", "osdf=copy {source}", "osdf=copy '{source} {target}"):
        with pytest.raises(ValueError, match=r"osdf|SCHEME|quotation"):
            means_from([word], "", {})


def test_stop_ends_the_whole_process_group(tmp_path: Path) -> None:
    stubborn = "sleep 60 & echo $! > pids; trap '' TERM; sleep 60 & echo $! >> pids; wait; wait"
    work = script(tmp_path, shell(stubborn))
    pids = work.directory / "pids"
    threading.Thread(target=lambda: _stop_when_written(work, pids)).start()
    assert work.run().outcome == ends.EVICT
    assert all(gone(int(pid)) for pid in pids.read_text().split())


def _stop_when_written(work: Script, pids: Path) -> None:
    while not pids.exists() or len(pids.read_text().split()) < 2:
        time.sleep(0.02)
    work.running.stop("enough")


def test_background_processes_do_not_stay(tmp_path: Path) -> None:
    work = script(tmp_path, shell("sleep 60 & echo $!"))
    assert work.run().outcome == ends.COMPLETE
    assert gone(int(work.logs()["stdout"]))


ESCAPE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.environ.clear()
        print(os.getpid(), flush=True)
        held = bytearray(int(sys.argv[1]))
        time.sleep(60)
    os._exit(0)
time.sleep(float(sys.argv[2]))
"""


def daemon(held: int, seconds: float) -> dict[str, Any]:
    """A program that leaves a process in a session of its own, with no tie to it but its parentage."""
    return {"name": "m", "src": sys.executable, "args": ["-c", ESCAPE, str(held), str(seconds)]}


def test_a_process_in_a_session_of_its_own_does_not_stay(tmp_path: Path) -> None:
    work = script(tmp_path, daemon(0, 0.5))
    assert work.run().outcome == ends.COMPLETE
    assert gone(int(work.logs()["stdout"]))


def test_a_process_in_a_session_of_its_own_is_measured_and_stopped(tmp_path: Path) -> None:
    work = script(tmp_path, daemon(300_000_000, 60), requirements={"memory": NEARLY})
    end = work.run()
    assert end.reason.startswith("memory limit: used 0.3")
    assert gone(int(work.logs()["stdout"]))


def test_a_killed_guard_leaves_nothing(tmp_path: Path) -> None:
    """A program kills the process that guards it."""
    work = script(tmp_path, shell("setsid sleep 60 & echo $!; sleep 0.2; kill -9 $PPID; sleep 60"))
    end = work.run()
    assert (end.outcome, "SIGKILL" in end.reason) == (ends.RESET, True)
    assert gone(int(work.logs()["stdout"]))


def test_a_killed_launcher_is_nobodys_failure_and_is_replaced(tmp_path: Path) -> None:
    work = script(tmp_path, shell("echo $$; sleep 60"))
    results: list[ends.End] = []
    thread = threading.Thread(target=lambda: results.append(work.run()))
    thread.start()
    while not (text := work.logs().get("stdout")):
        time.sleep(0.02)
    process = work.launcher._process
    assert process is not None
    process.kill()
    thread.join(20)
    assert [end.outcome for end in results] == [ends.EVICT]
    assert gone(int(text))
    work.clean()
    again = Script(work.running, work.directory, work.launcher)
    work.running.payload["task"]["trays"] = [{"modules": [shell("echo here")]}]
    assert again.run().outcome == ends.COMPLETE


def test_many_programs_at_once(tmp_path: Path) -> None:
    launcher = Launcher()
    _launchers.append(launcher)
    programs = [launcher.start(["/bin/sh", "-c", f"sleep 0.{n % 5}; exit {n}"], {}, tmp_path,
                               tmp_path / f"{n}.out", tmp_path / f"{n}.err") for n in range(40)]
    assert all(program.wait(60) or program.wait(60) for program in programs)
    assert [program.status for program in programs] == list(range(40))


def test_programs_do_not_inherit_what_the_launcher_ignores(tmp_path: Path) -> None:
    """A pipe that nobody reads ends its writer, and a request to end is heard."""
    work = script(tmp_path, shell("yes | head -n 1; grep SigIgn /proc/self/status"))
    assert work.run().outcome == ends.COMPLETE
    ignored = int(work.logs()["stdout"].split()[-1], 16)
    assert ignored & 0x7FFFFFFF == 0  # the C library keeps the signals from 32 on for itself


def test_a_directory_that_is_gone_is_said(tmp_path: Path) -> None:
    launcher = Launcher()
    _launchers.append(launcher)
    program = launcher.start(["/bin/true"], {}, tmp_path / "absent", tmp_path / "out", tmp_path / "err")
    assert program.wait(60) or program.wait(60)
    assert program.status == 127
    assert "absent" in (tmp_path / "err").read_text()


def test_without_its_directory_a_program_prints_nowhere_else(tmp_path: Path) -> None:
    """The guard works for the next task of a dataset when this one's program removed where it worked."""
    other, gone = tmp_path / "other", tmp_path / "gone"
    other.mkdir()
    launcher = Launcher()
    _launchers.append(launcher)
    for place in (other, gone):
        program = launcher.start(["/bin/echo", place.name], {}, place, place / "stdout", place / "stderr")
        assert program.wait(60) or program.wait(60)
    assert program.status == 126
    assert [(other / name).read_text() for name in ("stdout", "stderr")] == ["other\n", ""]


def test_more_memory_than_required_is_stopped_and_measured(tmp_path: Path) -> None:
    code = "x = bytearray(300_000_000)\nimport time\ntime.sleep(60)"
    eat = {"name": "m", "src": sys.executable, "args": ["-c", code]}
    end = script(tmp_path, eat, requirements={"memory": NEARLY}).run()
    assert end.outcome == ends.RESET
    assert end.reason.startswith("memory limit: used 0.3")
    assert end.resources["memory"] > 0.29


def test_more_time_than_required_is_stopped(tmp_path: Path) -> None:
    end = script(tmp_path, shell("sleep 60"), requirements={"time": 1 / 3600}).run()
    assert end.outcome == ends.RESET
    assert end.reason.startswith("time limit")


def test_processor_time_is_measured(tmp_path: Path) -> None:
    code = "import time\nwhile time.process_time() < 0.5: pass"
    end = script(tmp_path, {"name": "m", "src": sys.executable, "args": ["-c", code]}).run()
    assert end.cpu_seconds >= 0.5
    assert end.resources["cpu"] > 0


def test_files_are_fetched_and_stored(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("hello")
    data = [{"movement": "input", "remote": f"file:{tmp_path}/in.txt"},
            {"movement": "input", "remote": f"{tmp_path}/absent", "transfer": "maybe"},
            {"movement": "output", "remote": f"file:{tmp_path}/store/out.txt"}]
    assert script(tmp_path, shell("tr a-z A-Z < in.txt > out.txt"), data=data).run().outcome == ends.COMPLETE
    assert (tmp_path / "store" / "out.txt").read_text() == "HELLO"


def test_a_missing_input_is_tried_again(tmp_path: Path) -> None:
    end = script(tmp_path, shell("true"), data=[{"remote": f"{tmp_path}/absent"}]).run()
    assert end.outcome == ends.RESET
    assert "transfer failure" in end.reason


def test_programs_die_with_the_pilot(tmp_path: Path) -> None:
    """The pilot is killed without a chance to clean up."""
    pid_file = tmp_path / "work" / "pid"
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            script(tmp_path, shell("sleep 300 & echo $! > pid; wait")).run()
        finally:
            os._exit(0)
    while not pid_file.exists() or not pid_file.read_text().strip():
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert gone(int(pid_file.read_text()))
