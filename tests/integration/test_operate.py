"""Operating an installation: upgrades, backups, health."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pymongo
import pytest

from server.embedded.access import store_url
from server.store.migrations import MIGRATIONS
from tests.support.installation import Installed, installation

pytestmark = pytest.mark.slow


def _set_version(here: Installed, version: int) -> None:
    client: pymongo.MongoClient[dict[str, Any]]
    with store_url(here.data / "store") as url, pymongo.MongoClient(url) as client:
        client.iceprod.meta.update_one({"_id": "schema"}, {"$set": {"version": version}}, upsert=True)


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
