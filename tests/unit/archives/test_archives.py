"""Archives of datasets: nothing is lost, whatever happens and whenever."""

from __future__ import annotations

import errno
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bson
import pymongo
import pytest
from pymongo.collection import Collection
from pymongo.database import Database

from config.settings import Database as DatabaseSettings
from config.settings import Settings
from iceprod.cli.main import main
from iceprod.ids import timestamp
from server import archive_cli
from server.archives import archiving, files, restoring
from server.archives.archiving import archive
from server.archives.files import ArchiveError
from server.archives.restoring import restore
from server.embedded.access import store_url
from server.production.common.archived import COLLECTIONS

TASKS, JOBS = 15, 3


class Crash(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with store_url(tmp_path_factory.mktemp("archives") / "store") as url:
        yield url


@pytest.fixture
def db(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database[Any]]:
    for module in (archiving, restoring):
        monkeypatch.setattr(module, "SLICE", 7)  # so that there are several
    client: pymongo.MongoClient[Any]
    with pymongo.MongoClient(url) as client:
        yield client.iceprod
        client.drop_database("iceprod")


def fill(db: Database[Any], number: int, status: str = "complete", ended: str = "2026-01-01T00:00:00") -> str:
    """A dataset of all that datasets have; its id."""
    dataset_id = f"d{number:031}"
    of_it = {"dataset_id": dataset_id}
    db.datasets.insert_one({**of_it, "dataset": number, "description": f"number {number}", "status": status,
                            "ended": ended, "always_active": False, "jobs_submitted": JOBS})
    db.auths.insert_one({**of_it, "read_users": ["ann"]})
    db.configs.insert_one({**of_it, "text": "{}"})
    for job in range(JOBS):
        db.jobs.insert_one({**of_it, "job_id": f"{number}.{job}", "job_index": job, "status": "complete"})
    for task in range(TASKS):
        task_id = f"{number}.{task}"
        db.tasks.insert_one({**of_it, "task_id": task_id, "job_id": f"{number}.{task % JOBS}", "name": "a.b",
                             "task_index": task, "status": "failed" if task == 0 else "complete"})
        db.task_stats.insert_one({**of_it, "task_stat_id": task_id, "stats": {"x": task}})
        db.logs.insert_one({**of_it, "log_id": task_id, **({"parts": 1} if task < 3 else {})})
        if task < 3:
            db.log_parts.insert_one({"log_id": task_id, "part": 0, "packed": b"y" * 100})
    db.log_errors.insert_one({**of_it, "log_id": f"{number}.0", "lines": []})
    db.dataset_files.insert_one({**of_it, "_id": f"f{number}", "remote": "r"})
    db.task_totals.insert_one({"_id": dataset_id, "jobs": JOBS, "whole": TASKS, "tasks": {}, "open": {},
                               "version": 0})
    return dataset_id


def everything(db: Database[Any]) -> dict[str, list[Any]]:
    """All documents, but for counters, which are counted again."""
    found = {name: sorted(db[name].find(), key=lambda row: str(row["_id"]))
             for name in db.list_collection_names() if name != "task_totals"}
    return {name: rows for name, rows in found.items() if rows}


def left_of(db: Database[Any], dataset_id: str) -> int:
    of_it = {"dataset_id": dataset_id}
    return sum(db[name].count_documents(of_it) for name in COLLECTIONS if name != "log_parts")


def test_what_is_archived_comes_back_as_it_was(db: Database[Any], tmp_path: Path) -> None:
    ours, other = fill(db, 1), fill(db, 2)
    before = everything(db)
    done = archive(db, ours, tmp_path)
    assert done.documents == {"log_parts": 3, "log_errors": 1, "logs": TASKS, "task_stats": TASKS,
                              "dataset_files": 1, "tasks": TASKS, "jobs": JOBS}
    assert (left_of(db, ours), db.log_parts.count_documents({})) == (0, 3)
    assert left_of(db, other) == 2 + 3 * TASKS + JOBS
    stub = db.datasets.find_one({"dataset_id": ours})
    assert stub is not None
    assert stub["archived"] is True
    assert stub["archive"]["tasks"] == [["a.b", {"complete": TASKS - 1, "failed": 1}]]
    assert stub["archive"]["jobs"] == {"complete": JOBS}
    assert db.task_totals.find_one({"_id": ours}) is None
    restore(db, Path(done.file))
    assert everything(db) == before
    assert db.task_totals.find_one({"_id": ours, "doubt": True})


def test_any_tool_can_read_the_file(db: Database[Any], tmp_path: Path) -> None:
    done = archive(db, fill(db, 1), tmp_path)
    assert Path(done.file).stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(done.file) as file:
        told = json.loads(file.read("archive.json"))
        assert (told["format"], told["dataset"], told["parts"]["tasks"]["documents"]) == (1, 1, TASKS)
        rows = list(bson.decode_file_iter(io.BytesIO(file.read("tasks.bson"))))
    assert [row["task_index"] for row in rows] == list(range(TASKS))


# -- killed at any step


class Writes:
    """What writes to the database or gives a file its name; counted, and refused from one of them on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch

    def killed(self, at: int, work: Callable[[], object]) -> bool:
        """Do some work, and be killed before its write number `at`; whether there were so many."""
        left = at

        def counted(then: Callable[..., Any]) -> Callable[..., Any]:
            def write(*arguments: Any, **options: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    raise Crash
                return then(*arguments, **options)
            return write

        with self._patch.context() as patch:
            for name in ("update_one", "delete_many", "delete_one", "insert_many", "insert_one",
                         "replace_one"):
                patch.setattr(Collection, name, counted(getattr(Collection, name)))
            patch.setattr(Path, "replace", counted(Path.replace))
            try:
                work()
            except Crash:
                return True
        return False


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    return Writes(monkeypatch)


def test_killed_before_any_write_it_goes_on_and_nothing_is_lost(db: Database[Any], tmp_path: Path,
                                                                writes: Writes) -> None:
    ours = fill(db, 1)
    before, number, at = everything(db), left_of(db, ours), 0
    while writes.killed(at, lambda: archive(db, ours, tmp_path)):
        assert left_of(db, ours) == number or list(tmp_path.glob("*.zip"))  # the file is there first
        path = Path(archive(db, ours, tmp_path).file)
        assert left_of(db, ours) == 0
        restore(db, path)
        assert everything(db) == before
        path.unlink()
        at += 1
    assert at > 12


def test_a_restore_that_was_killed_anywhere_is_repeated(db: Database[Any], tmp_path: Path,
                                                        writes: Writes) -> None:
    ours = fill(db, 1)
    before = everything(db)
    path, at = Path(archive(db, ours, tmp_path).file), 0
    while writes.killed(at, lambda: restore(db, path)):
        restore(db, path)
        assert everything(db) == before
        archive(db, ours, tmp_path)
        at += 1
    assert at > 10


def test_half_a_restore_is_not_archived(db: Database[Any], tmp_path: Path, writes: Writes) -> None:
    ours = fill(db, 1)
    path = Path(archive(db, ours, tmp_path).file)
    assert writes.killed(4, lambda: restore(db, path))
    with pytest.raises(ArchiveError, match="is being restored"):
        archive(db, ours, tmp_path)


def test_a_full_disk_leaves_everything_as_it_was(db: Database[Any], tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    ours = fill(db, 1)
    before = everything(db)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile._ZipWriteFile, "write", full)  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="No space left"):
        archive(db, ours, tmp_path)
    assert everything(db) == before
    assert not list(tmp_path.iterdir())


# -- what is refused


@pytest.mark.parametrize("status", ["processing", "suspended"])
def test_what_has_not_ended_is_not_archived(db: Database[Any], tmp_path: Path, status: str) -> None:
    ours = fill(db, 1, status)
    with pytest.raises(ArchiveError, match=f"its status is {status}"):
        archive(db, ours, tmp_path)


def test_datasets_with_waiting_tasks_and_those_of_scans_stay(db: Database[Any], tmp_path: Path) -> None:
    waits, scan = fill(db, 1, "errors"), fill(db, 2)
    db.tasks.update_one({"dataset_id": waits}, {"$set": {"status": "waiting"}})
    db.scan_runs.insert_one({"scan_id": "s1", "dataset_id": scan})
    with pytest.raises(ArchiveError, match="wait or run"):
        archive(db, waits, tmp_path)
    with pytest.raises(ArchiveError, match="belongs to the scan s1"):
        archive(db, scan, tmp_path)


def test_one_that_changes_while_its_file_is_written_stays(db: Database[Any], tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    ours = fill(db, 1)
    write = archiving._write

    def slow(*arguments: Any) -> Any:
        told = write(*arguments)
        db.tasks.update_one({"dataset_id": ours}, {"$set": {"status": "waiting"}})
        return told

    monkeypatch.setattr(archiving, "_write", slow)
    with pytest.raises(ArchiveError, match="changed meanwhile"):
        archive(db, ours, tmp_path)
    assert left_of(db, ours) == 2 + 3 * TASKS + JOBS
    assert "archive" not in (db.datasets.find_one({"dataset_id": ours}) or {})


def test_what_came_late_is_not_removed(db: Database[Any], tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    ours = fill(db, 1)
    remove = archiving._remove

    def late(*arguments: Any) -> None:
        db.logs.insert_one({"dataset_id": ours, "log_id": "late"})
        remove(*arguments)

    monkeypatch.setattr(archiving, "_remove", late)
    archive(db, ours, tmp_path)
    assert [log["log_id"] for log in db.logs.find()] == ["late"]


@pytest.mark.parametrize(("collection", "change"), [
    ("tasks", {"status": "waiting"}), ("task_stats", {"stats": {"x": -1}}), ("jobs", {"status": "errors"})])
def test_what_an_older_server_changes_while_it_is_removed_is_not_lost(
        db: Database[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collection: str,
        change: dict[str, Any]) -> None:
    ours = fill(db, 1)
    before = everything(db)
    last = db[collection].find_one({"dataset_id": ours}, sort=[("_id", -1)])
    assert last is not None
    remove = archiving._remove

    def late(*arguments: Any) -> None:
        db[collection].update_one({"_id": last["_id"]}, {"$set": change})
        remove(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(archiving, "_remove", late)
        with pytest.raises(ArchiveError, match=r"changed after its file was written: .*archive restore"):
            archive(db, ours, tmp_path)
    [path] = tmp_path.iterdir()
    restore(db, path)
    assert db[collection].find_one({"_id": last["_id"]}) == {**last, **change}
    db[collection].replace_one({"_id": last["_id"]}, last)
    assert everything(db) == before


def test_who_removes_stops_when_somebody_restores(db: Database[Any], tmp_path: Path, writes: Writes,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """As on another machine, which no lock of a folder reaches."""
    ours = fill(db, 1)
    before, remove = everything(db), archiving._remove_slices

    def beside(db: Database[Any], collection: str, path: Path, *more: Any) -> None:
        if collection == "tasks":
            restore(db, path)
        remove(db, collection, path, *more)

    monkeypatch.setattr(archiving, "_remove_slices", beside)
    with pytest.raises(ArchiveError, match="somebody restores"):
        archive(db, ours, tmp_path)
    assert everything(db) == before


def test_a_living_dataset_is_not_overwritten(db: Database[Any], tmp_path: Path) -> None:
    ours = fill(db, 1)
    path = Path(archive(db, ours, tmp_path).file)
    restore(db, path)
    db.tasks.update_one({"task_id": "1.3"}, {"$set": {"status": "failed"}})
    before = everything(db)
    with pytest.raises(ArchiveError, match="is here and not archived"):
        restore(db, path)
    assert everything(db) == before


@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_file_removes_nothing_and_is_not_restored(db: Database[Any], tmp_path: Path,
                                                            writes: Writes, cut: bool) -> None:
    ours = fill(db, 1)
    assert writes.killed(3, lambda: archive(db, ours, tmp_path))  # its file is there
    [path] = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content[:-30] if cut else content)
    before = everything(db)
    for work in (archive_here, lambda db, path: restore(db, path)):
        with pytest.raises(ArchiveError, match="damaged"):
            work(db, path)
    assert everything(db) == before


def archive_here(db: Database[Any], path: Path) -> None:
    archive(db, f"d{1:031}", path.parent)


def test_a_file_of_another_installation_does_not_take_a_number(db: Database[Any], tmp_path: Path) -> None:
    path = Path(archive(db, fill(db, 1), tmp_path).file)
    db.datasets.delete_many({})
    restore(db, path)  # into one that knows nothing of it
    assert left_of(db, f"d{1:031}") == 2 + 3 * TASKS + JOBS
    db.datasets.update_one({"dataset": 1}, {"$set": {"dataset_id": "another"}})
    with pytest.raises(ArchiveError, match="is that of another dataset"):
        restore(db, path)


def test_a_file_of_a_newer_program_is_refused(db: Database[Any], tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(archive(db, fill(db, 1), tmp_path).file)
    monkeypatch.setattr(files, "FORMAT", 0)
    with pytest.raises(ArchiveError, match="restore it with"):
        restore(db, path)


# -- the command


def test_the_command(db: Database[Any], url: str, tmp_path: Path,
                     capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(json.dumps({"database": {"url": url}}))
    fill(db, 1)
    fill(db, 2)
    fill(db, 3, ended=timestamp())
    fill(db, 4, "processing")
    db.tasks.update_one({"task_id": "2.1"}, {"$set": {"status": "waiting"}})

    def told(*words: str, status: int = 0) -> Any:
        here = ["--config", str(config), "--data", str(tmp_path), "--json"]
        assert main(["archive", *words, *here]) == status
        return json.loads(capsys.readouterr().out)

    seen = told("--ended-before", "90d", "--dry-run")
    assert ([one["dataset"] for one in seen["chosen"]], seen["archived"]) == ([1], [])
    assert [(one["dataset"], one["reason"]) for one in seen["left"]] == [(2, "some of its tasks wait or run")]
    assert not told("list")["archives"]
    [done] = told("--ended-before", "90d")["archived"]
    assert Path(done["file"]).parent == tmp_path / "archive"
    assert [(one["dataset"], one["state"]) for one in told("list")["archives"]] == [(1, "archived")]
    assert told("1")["archived"][0]["documents"] == done["documents"]  # again changes nothing
    assert told("restore", "1")["documents"] == done["documents"]
    assert "is not archived" in told("restore", "1", status=2)["error"]
    assert told("restore", done["file"], status=2)["error"].endswith("nothing was changed")
    assert "status is processing" in told("3", "4", status=2)["error"]
    assert not told("list")["archives"]  # of several named ones all, or none
    assert "no dataset '9'" in told("9", status=2)["error"]
    assert "is no age" in told("--ended-before", "soon", status=2)["error"]
    assert "name datasets" in told("--dry-run", status=2)["error"]


def test_the_command_asks_for_what_no_failure_takes_back(url: str, tmp_path: Path) -> None:
    """As servers do: `the file may go` must be true also after the power failed, or the primary."""
    settings = Settings(data=str(tmp_path), database=DatabaseSettings(url=url))
    with archive_cli._database(settings) as db:
        assert db.write_concern.document == {"w": "majority", "j": True, "wtimeout": 20_000}
