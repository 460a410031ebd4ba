"""``iceprod credentials``: kept, listed without secrets, replaced and forgotten, for each kind of owner."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iceprod.cli.main import main
from tests.support.api import Api, running_server

S3, DAV = "https://s3.example.org", "https://data.example.org/"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("credentials")) as running:
        yield running


class Told:
    """Runs a command as somebody; its status, and what it printed."""

    def __init__(self, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
        self.api, self.capsys = api, capsys

    def __call__(self, *words: str, status: int = 0) -> str:
        self.capsys.readouterr()
        assert main([*words, "--server", self.api.url, "--token", self.api.token("user")]) == status
        printed = self.capsys.readouterr()
        return printed.out + printed.err

    def kept(self, *words: str) -> list[dict[str, Any]]:
        return list(json.loads(self("credentials", "list", "--json", *words))["credentials"])


@pytest.fixture
def told(api: Api, capsys: pytest.CaptureFixture[str]) -> Told:
    return Told(api, capsys)


def test_kept_listed_replaced_and_forgotten(told: Told, tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys"
    file.write_text("[default]\naws_access_key_id = AKIA123\naws_secret_access_key = hush/hush+1\n")
    assert "no credential is kept" in told("credentials", "list")
    told("credentials", "add", S3, "--bucket", "sim", "--bucket", "exp", "--secret-file", str(file))
    [row] = told.kept()
    assert (row["url"], row["type"], row["buckets"]) == (S3, "s3", ["sim", "exp"])
    assert "hush" not in told("credentials", "list") + json.dumps(row)
    assert "already exists" in told("credentials", "add", S3, "--bucket", "sim", "--secret-file", str(file),
                                    status=2)
    monkeypatch.setattr("sys.stdin", io.StringIO('{"access_key": "b", "secret_key": "c"}'))
    told("credentials", "add", S3, "--bucket", "new", "--replace", "--secret-file", "-")
    assert [row["buckets"] for row in told.kept()] == [["new"]]
    told("credentials", "remove", S3)
    assert told.kept() == []
    assert "no credential is kept for" in told("credentials", "remove", S3, status=1)


def test_a_token_of_a_dataset(told: Told, tmp_path: Path) -> None:
    session = told.api.session("user")
    fields = {"description": "d", "group": "users", "jobs_submitted": 1, "tasks_per_job": 1,
              "tasks_submitted": 1}
    dataset_id = session.post("/datasets", json=fields).json()["result"]
    (tmp_path / "token").write_text("abc.def\n")
    told("credentials", "add", DAV, "--dataset", dataset_id, "--task", "gen", "--secret-file",
         str(tmp_path / "token"), "--prefix", DAV + "sim/")
    [row] = told.kept("--dataset", dataset_id, "--task", "gen")
    assert (row["type"], row["transfer_prefix"]) == ("oauth", DAV + "sim/")
    assert told.kept() == []


@pytest.mark.parametrize(("words", "text", "why"), [
    (["--group", "a", "--user", "b"], "x", "name one of"), (["--task", "a"], "x", "goes with --dataset"),
    (["--type", "s3"], "x", "needs one at least"),
    (["--bucket", "b"], "access_key = 1", "it has no access_key"),
    ([], "", "it has no token"), ([], "two words", "it has no token")])
def test_what_makes_no_sense(told: Told, tmp_path: Path, words: list[str], text: str, why: str) -> None:
    (tmp_path / "secret").write_text(text)
    file = str(tmp_path / "secret")
    assert why in told("credentials", "add", DAV, *words, "--secret-file", file, status=2)


def test_another_user_s_are_not_ours(told: Told) -> None:
    assert "unauthorized" in told("credentials", "list", "--user", "somebody", status=2)


def test_without_a_terminal_a_file_is_needed(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert "name a file, or -" in told("credentials", "add", DAV, status=2)
