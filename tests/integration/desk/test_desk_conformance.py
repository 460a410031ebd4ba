"""The black-box suite of the desk's API, run against a real server on each database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.api import Api, running_server
from tests.support.data import CONFORMANCE
from tests.support.databases import DATABASES, chosen
from tests.support.mongo.advice import scans
from tests.support.mongo.recorder import Recorder
from tests.support.outside import running_services

SUITE = CONFORMANCE / "desk_and_sensor"
FILES = ("test_sp_core.py", "test_sp_candidates.py", "test_sp_judgement.py", "test_sp_catalogs.py",
         "test_sp_followup.py", "test_sp_analysis.py", "test_sp_standing.py")


@pytest.fixture(scope="module", params=DATABASES)
def recorder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Recorder]:
    with chosen(request.param, tmp_path_factory.mktemp("database")) as recorder:
        yield recorder


@pytest.fixture(scope="module")
def api(recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_services() as outside:
        settings = {"SERVICES__REPAIR_SECONDS": 2, "CATALOGS__ALLOWED_HOSTS": "[127.0.0.1]",
                    **outside.settings()}
        with running_server(tmp_path_factory.mktemp("desk"), settings) as server:
            yield server


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_conformance(api: Api, name: str) -> None:
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", name,
        "--skyportal-url", api.url, "--skyportal-token", api.token("admin", username="curator"),
        "--skyportal-view-token", api.token("nobody", username="viewer", groups=()), "--skyportal-stubs"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=SUITE, env=environment, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.slow
def test_no_query_reads_all_of_what_grows(recorder: Recorder, api: Api) -> None:
    """Of all that the suite made the server ask; it comes last."""
    assert scans(recorder.shapes, recorder.store_url, recorder.database) == []
