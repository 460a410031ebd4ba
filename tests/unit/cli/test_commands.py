"""The command line: what it prints, and its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from iceprod.cli.main import main
from iceprod.cli.sky.outcome import distance
from iceprod.installation import Installation, Running
from iceprod.tokens import decode, read_secret

ROOT = Path(__file__).parents[3]
CONFIG = {"version": 3.2, "description": "d", "tasks": [
    {"name": "a", "trays": [{"modules": [{"src": "x.py"}]}]},
    {"name": "b", "depends": ["a"], "trays": [{"modules": [{"src": "y.py"}]}]}]}


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    captured = capsys.readouterr()
    if captured.out:  # with --json the error is an object, too
        assert json.loads(captured.out)["error"] == captured.err.removeprefix("error: ").strip()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("up", "down", "scan", "token", "submit", "status", "watch", "abort", "demo", "why",
                 "logs", "sites", "pilots", "list", "show", "bench", "suspend", "resume", "reset", "wait",
                 "completion", "rescan", "workers", "backlog"):
        assert f"\n  {name} " in shown
        assert main([name, "--help"]) == 0


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "text"), [
    (["scna"], "did you mean 'scan'?"),
    (["scan"], "Missing argument"),
    (["scan", "x", "--jsn"], "--json"),
    (["up", "--port", "70000"], "70000"),
    (["token", "--user", "x", "--roles", "root"], "unknown role 'root'"),
    (["token", "--user", "x", "--data", "absent"], "does not exist"),
    (["scan", "absent.json"], "cannot read absent.json"),
    (["submit", "absent.json"], "cannot read absent.json"),
    (["submit", "x.json", "--jobs", "0"], "0"),
    (["bench", "patience"], "unknown benchmark 'patience'; known: reco, scan, "),
    (["reset", "x", "--all", "--status", "failed"], "exclude each other"),
    (["reset", "x", "--task", "a", "--job", "b"], "exclude each other"),
    (["reset", "x", "--hard"], "say which"),
    (["reset", "x", "--status", "complete"], "complete"),
    (["up", "--foreground", "--json"], "exclude each other"),
    (["completion", "csh"], "'csh'"),
])
def test_usage_errors(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert text in error_of(capsys)


@pytest.mark.parametrize("arguments", [["status"], ["watch", "x"], ["abort", "x"], ["why", "1.0.0"],
                                       ["logs", "1.0.0"], ["sites"], ["pilots"], ["list"], ["show", "x"],
                                       ["tasks", "x"], ["suspend", "x"], ["resume", "x"], ["reset", "x"],
                                       ["wait", "x"], ["scans"]])
def test_without_a_server(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 3
    assert "nothing runs in" in error_of(capsys)
    assert main([*arguments, "--server", "http://127.0.0.1:1", "--token", "x"]) == 3
    assert "does not answer" in error_of(capsys)


def test_the_server_can_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ICEPROD_SERVER", "http://127.0.0.1:1")
    monkeypatch.setenv("ICEPROD_TOKEN", "x")
    assert main(["status"]) == 3
    assert "http://127.0.0.1:1 does not answer" in error_of(capsys)


def test_several_installations_must_be_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = Installation(tmp_path / "one"), Installation(tmp_path / "other")
    with one.lock(), other.lock():
        for here in (one, other):
            here.announce(Running(pid=1, url="http://127.0.0.1:1", data=str(here.data), started=""))
        assert main(["status"]) == 2
        assert f"{one.data}, {other.data}" in error_of(capsys)
        assert main(["status", "--data", str(one.data)]) == 3


@pytest.mark.parametrize(("content", "text"), [
    (b"", "byte 0"),
    (b'{"a": 1,\n "b" 2}', "line 2, column 6 (byte 14)"),
    ('{"é": x}'.encode(), "byte 7"),
    (b'{"a": "\xff"}', "byte 7: not UTF-8"),
    (b"[1]", "expected an object, got list"),
    (b"[" * 100_000, "nested too deeply"),
])
def test_broken_files_say_where(tmp_path: Path, content: bytes, text: str,
                                capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "event.json").write_bytes(content)
    assert main(["scan", str(tmp_path / "event.json")]) == 2
    error = error_of(capsys)
    assert text in error
    assert "event.json" in error


@pytest.mark.parametrize("nsides", ["8", "8:x", "8:0,64", "-8:0", ""])
def test_levels_that_are_none(tmp_path: Path, nsides: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "event.json").write_text("{}")
    assert main(["scan", str(tmp_path / "event.json"), "--nsides", nsides]) == 2
    assert "8:0,64:12,512:24" in error_of(capsys)


def test_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for roles, expected in (("admin, user", {"admin", "user"}), ("", set()), ("pilot", {"pilot"})):
        assert main(["token", "--data", str(tmp_path), "--user", "ann", "--roles", roles]) == 0
        lines = capsys.readouterr().out.splitlines()
        caller = decode(read_secret(tmp_path / "secret"), lines[0])
        assert len(lines) == 1
        assert (caller.username, caller.roles) == ("ann", expected)


def test_down_without_anything_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down", "--data", str(tmp_path / "none")]) == 0
    assert "nothing runs" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_down_tells_programs_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down", "--data", str(tmp_path / "none"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"data": str(tmp_path / "none"), "stopped": False}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_ICEPROD_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "expected"), [
    ("iceprod resu", {"resume"}), ("iceprod reset --st", {"--status"}),
    ("iceprod reset --status su", {"suspended"}), ("iceprod completion f", {"fish"})])
def test_what_the_shell_is_told(words: str, expected: set[str]) -> None:
    environment = {**os.environ, "COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")),
                   "_ICEPROD_COMPLETE": "bash_complete"}
    done = subprocess.run([sys.executable, "-m", "iceprod"], env=environment, cwd=ROOT, capture_output=True,
                          text=True, timeout=120, check=True)
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == expected


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_a_dry_run_needs_no_server(tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"config.{suffix}"
    path.write_text(json.dumps(CONFIG))
    assert main(["submit", str(path), "--jobs", "5", "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["tasks_per_job"] == 2
    assert document["tasks_submitted"] == 10


def test_a_wrong_config_says_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG).replace('["a"]', '["z"]'))
    assert main(["submit", str(path), "--dry-run"]) == 2
    assert "'z'" in error_of(capsys)


def test_broken_yaml_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: [1\nb: 2")
    assert main(["submit", str(path)]) == 2
    assert "not YAML" in error_of(capsys)


@pytest.mark.parametrize(("one", "other", "degrees"), [
    ((0, 0), (0, 0), 0), ((0, 0), (180, 0), 180), ((10, 90), (200, 90), 0), ((0, 0), (90, 45), 90),
    ((350, 0), (10, 0), 20), ((30, 20), (30, 20.0001), 0.0001),
])
def test_distance(one: tuple[float, float], other: tuple[float, float], degrees: float) -> None:
    assert distance(one, other) == pytest.approx(degrees, abs=1e-9)
