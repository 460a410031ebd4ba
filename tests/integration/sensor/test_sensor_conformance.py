"""The black-box suite of the SCOS sensor API, run against a real server: on the embedded store, and on the
database that ICEPROD_ORACLE_URL names.
"""

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

SUITE = CONFORMANCE / "desk_and_sensor"


@pytest.fixture(scope="module", params=DATABASES)
def recorder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Recorder]:
    with chosen(request.param, tmp_path_factory.mktemp("database")) as recorder:
        yield recorder


@pytest.fixture(scope="module")
def api(recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("sensor")) as server:
        yield server


@pytest.mark.slow
def test_conformance(api: Api) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "test_scos.py",
               "--scos-url", api.url, "--scos-token", api.token(), "--scos-wait", "60",
               "--scos-other-token", api.token("user", username="other")]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=SUITE, env=environment, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.slow
def test_no_query_reads_all_of_what_grows(recorder: Recorder, api: Api) -> None:
    """Of all that the suite made the server ask; it comes last."""
    assert scans(recorder.shapes, recorder.store_url, recorder.database) == []
