"""What commands say to programs: every one of them has an object of documented keys, or a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iceprod.cli.common.passing import Passing
from iceprod.cli.common.shapes import LINES, SHAPES, SILENT
from iceprod.cli.main import main
from server.app import ROUTES
from server.reference.commands import spoken, text


def test_every_command_has_a_shape_or_a_reason() -> None:
    known = {name for name, _ in spoken()}
    assert known == {*SHAPES, *SILENT}
    assert not {*SHAPES} & {*SILENT}
    assert {*LINES} <= {*SHAPES}
    assert all(SILENT.values())


def test_every_command_takes_the_option() -> None:
    for name, command in spoken():
        if isinstance(command, Passing):
            manual = command.manual()
            own = manual.split(f"usage: iceprod {name} ")[-1].split("usage:")[0]
            assert ("--json" in own) != (name in SILENT), name
        else:
            assert any("--json" in option.opts for option in command.params) != (name in SILENT), name


def test_routes_that_are_handed_on_exist() -> None:
    served = {f"{method.upper()} {route.openapi_path}" for route in ROUTES for method in route.methods()}
    handed = {shape for shapes in SHAPES.values() for shape in shapes if isinstance(shape, str)}
    assert handed <= served, handed - served


def test_the_reference_tells_the_keys() -> None:
    page = text()
    assert "| `already_running` | true or false |  |" in page
    assert "`--json` prints what `GET /tasks/{task_id}/explain` answers" in page
    assert "with `--follow` one object on each line" in page
    for why in SILENT.values():
        assert why in page


ANY = {"skymap": ["x"], "scan": ["absent.json"], "submit": ["absent.json"], "run": ["absent.yaml"],
       "replay": ["absent"], "event": ["absent.json"], "systematics": ["absent.json"],
       "workers": ["x", "y", "1"],
       "credentials add": ["u", "--type", "s3"], "credentials remove": ["u"], "schedule create": ["n", "a"],
       "grid limit": ["s"], "grid maintenance": ["s", "--starts", "x", "--ends", "y"], "bench": ["patience"],
       "bench all": ["patience"], "bench compare": ["absent", "absent"], "bench figures": ["absent"],
       "token": ["--user", "u", "--data", "absent"], "backup": ["--data", "absent", "--out", "b"],
       "archive datasets": ["1", "--data", "absent"], "archive list": ["--data", "absent"],
       "archive restore": ["1", "--data", "absent"],
       "restore": ["--data", "d", "--from", "absent"], "store dump": ["--data", "absent", "--out", "o"],
       "store restore": ["--data", "absent", "--from", "o"], "store size": ["--data", "absent"],
       "store check": ["--data", "absent"], "pilot": ["--server", "http://127.0.0.1:1"],
       "grid": ["--config", "absent.yaml", "--dry-run"], "simulate": ["--out", "/dev/null/x"],
       "up": ["--config", "absent.yaml"], "down": ["--no-such"], "recos": ["--no-such"],
       "demo": ["--no-such"],
       "store bench": ["--no-such"], "backlog": [], "status": [], "list": [], "scans": [], "sites": [],
       "pilots": [],
       "notify list": [], "notify log": [],
       "web": [], "credentials list": ["--group", "g", "--user", "u"], "schedule list": [],
       "schedule actions": [], "grid list": []}
"""What makes each command fail where there is no server, no file and no folder; most others want one name."""


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_an_error_is_one_object(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main([*name.split(), *ANY.get(name, ["x"]), "--json"])
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert set(told) == {"error", "exit_status"}
    assert told["exit_status"] == status > 0
    assert told["error"]
    assert said.err.startswith("error: ") or "error: " in said.err


def test_the_store_and_the_pilot_fail_as_the_others_do(tmp_path: Path,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "token").write_text("x")
    assert main(["pilot", "--server", "x", "--token-file", str(tmp_path / "token"), "--transfer", "gsiftp",
                 "--json"]) == 2
    assert "SCHEME=COMMAND" in json.loads(capsys.readouterr().out)["error"]
    for command in (["size"], ["dump", "--out", "x"]):
        assert main(["store", *command, "--data", "absent", "--json"]) == 2
        assert "there is no store in absent" in json.loads(capsys.readouterr().out)["error"]
        assert not Path("absent").exists()
