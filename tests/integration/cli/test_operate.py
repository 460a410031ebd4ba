"""Operating an installation: upgrades, backups, health."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

import pymongo
import pytest

from server.embedded.access import store_url
from server.services.migrations import MIGRATIONS
from tests.support.installation import Installed, installation

pytestmark = pytest.mark.slow


def _set_version(here: Installed, version: int) -> None:
    client: pymongo.MongoClient[dict[str, Any]]
    with store_url(here.data / "store") as url, pymongo.MongoClient(url) as client:
        client.iceprod.meta.update_one({"_id": "schema"}, {"$set": {"version": version, "oldest": version}},
                                         upsert=True)


def test_a_database_of_a_newer_program_is_refused_in_words(tmp_path: Path) -> None:
    with installation(tmp_path, pilots=0) as here:
        with here.client() as client:
            newest = MIGRATIONS[-1].version
            assert client.get("/healthz")["schema"] == {"version": newest, "known": newest}
        here.down()
        _set_version(here, newest + 1)
        refusal = here.iceprod("up", "--data", here.data, "--port", "0", "--no-pilots", status=1)
        assert f"has version {newest + 1}, this program knows version {newest}" in refusal
        assert "restore a backup" in refusal
        _set_version(here, 0)
        here.up(pilots=0)
        with here.client() as client:
            assert client.get("/healthz")["schema"]["version"] == newest


CONFIG = {"version": 3.2, "description": "to be kept", "tasks": [
    {"name": "say", "requirements": {"cpu": 1, "memory": 1.0},
     "trays": [{"modules": [{"src": "/bin/echo", "args": "job $(job)"}]}]}]}


def test_an_installation_comes_back_from_its_backup(tmp_path: Path) -> None:
    """Made while it runs; in a new directory work, logs, tokens and what still waits are as they were."""
    saved = tmp_path / "backup"
    with installation(tmp_path / "one", pilots=1) as here:
        (here.root / "config.json").write_text(json.dumps(CONFIG))
        dataset = here.iceprod("submit", "config.json", "--jobs", "3").strip()
        here.iceprod("wait", dataset)
        waiting = here.iceprod("submit", "config.json", "--jobs", "2", "--description", "late").strip()
        here.iceprod("suspend", waiting)
        token = here.iceprod("token", "--data", here.data, "--user", "ann", "--roles", "user,admin").strip()
        made = json.loads(here.iceprod("backup", "--data", here.data, "--out", saved, "--json"))
        assert made["documents"]["datasets"] == 2
        assert "not empty" in here.iceprod("backup", "--data", here.data, "--out", saved, status=2)
        before = json.loads(here.iceprod("list", "--json"))
        with here.client() as client:
            task = next(iter(client.get(f"/datasets/{dataset}/tasks")))
        printed = here.iceprod("logs", task, "--name", "stdout")
        assert "already" in here.iceprod("restore", "--data", here.data, "--from", saved, status=2)
    assert (saved.stat().st_mode & 0o777, (saved / "secret").stat().st_mode & 0o777) == (0o700, 0o600)
    with installation(tmp_path / "other", pilots=None) as there:
        said = there.iceprod("restore", "--data", there.data, "--from", saved)
        assert f"{sum(made['documents'].values())} documents as they were at {made['made']}" in said
        there.up(pilots=1)
        there.iceprod("resume", waiting, "--token", token)
        assert "complete" in there.iceprod("wait", waiting)
        after = json.loads(there.iceprod("list", "--json", "--token", token))
        assert after["datasets"][0] == before["datasets"][0]
        assert there.iceprod("logs", task, "--name", "stdout") == printed
        there.iceprod("store", "check", "--data", there.data / "store", status=1)  # in use
        there.down()
        assert "sound" in there.iceprod("store", "check", "--data", there.data)


def test_what_is_no_backup_is_not_restored(tmp_path: Path) -> None:
    (tmp_path / "half" / "database").mkdir(parents=True)
    with installation(tmp_path, pilots=None) as here:
        refusal = here.iceprod("restore", "--data", here.data, "--from", tmp_path / "half", status=2)
        assert "no whole backup" in refusal
        assert not here.data.exists()
        refusal = here.iceprod("backup", "--data", here.data, "--out", tmp_path / "b", status=2)
        assert "no installation" in refusal


def test_a_backup_that_lost_documents_is_noticed(tmp_path: Path) -> None:
    saved = tmp_path / "backup"
    with installation(tmp_path / "one", pilots=0) as here:
        here.iceprod("backup", "--data", here.data, "--out", saved)
    (saved / "database" / "iceprod" / "meta.bson").unlink()
    with installation(tmp_path / "other", pilots=None) as there:
        refusal = there.iceprod("restore", "--data", there.data, "--from", saved, status=2)
        assert "not whole" in refusal
        assert not (there.data / "store").exists()
        assert not (there.data / "secret").exists()


@pytest.mark.skipif(not os.environ.get("ICEPROD_ORACLE_URL"), reason="ICEPROD_ORACLE_URL names no MongoDB")
def test_an_installation_moves_to_a_mongodb_and_back(tmp_path: Path) -> None:
    name, saved = f"moved_{uuid.uuid4().hex[:8]}", tmp_path / "saved"
    config = tmp_path / "mongodb.yaml"
    config.write_text(json.dumps({"database": {"url": os.environ["ICEPROD_ORACLE_URL"], "name": name}}))
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(os.environ["ICEPROD_ORACLE_URL"]) as client:
        try:
            with installation(tmp_path / "one", pilots=0) as one:
                (one.root / "config.json").write_text(json.dumps(CONFIG))
                dataset = one.iceprod("submit", "config.json", "--jobs", "3").strip()
                one.iceprod("suspend", dataset)
                token = one.iceprod("token", "--data", one.data, "--user", "a", "--roles", "user,admin")
                token = token.strip()
                one.iceprod("backup", "--data", one.data, "--out", saved)
                before = json.loads(one.iceprod("list", "--json"))
            with installation(tmp_path / "two", pilots=None) as two:
                two.iceprod("restore", "--data", two.data, "--from", saved, "--config", config)
                assert client[name].datasets.count_documents({}) == 1
                two.up("--config", str(config), pilots=0)
                assert not (two.data / "store").exists()
                assert json.loads(two.iceprod("list", "--json", "--token", token)) == before
                two.iceprod("backup", "--data", two.data, "--out", tmp_path / "again", "--config", config)
            with installation(tmp_path / "three", pilots=None) as three:
                refusal = three.iceprod("restore", "--data", three.data, "--from", saved, "--config", config,
                                        status=2)
                assert "has collections already" in refusal
                three.iceprod("restore", "--data", three.data, "--from", tmp_path / "again")
                three.up(pilots=0)
                assert json.loads(three.iceprod("list", "--json", "--token", token)) == before
        finally:
            client.drop_database(name)
