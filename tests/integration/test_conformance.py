"""The black-box suite of the IceProd and SkyDriver APIs, run against a real server on each database."""

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

SUITE = CONFORMANCE / "production_and_scans"
FILES = sorted(path.name for path in SUITE.glob("test_*.py"))


@pytest.fixture(scope="module", params=DATABASES)
def recorder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Recorder]:
    with chosen(request.param, tmp_path_factory.mktemp("database")) as recorder:
        yield recorder


@pytest.fixture(scope="module")
def api(recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("conformance")) as server:
        yield server


def environment(api: Api) -> dict[str, str]:
    tokens = {"TOKEN": api.token(), "USER_TOKEN": api.token("user", username="reader"),
              "SYSTEM_TOKEN": api.token("system", username="service"),
              "PILOT_TOKEN": api.token("pilot", username="pilot"),
              "NOBODY_TOKEN": api.token("nobody", username="nobody", groups=())}
    return {
        **os.environ,
        "CONF_ICEPROD_URL": api.url,
        "CONF_SKYDRIVER_URL": api.url,
        "PYTHONDONTWRITEBYTECODE": "1",
        **{f"CONF_{name}": token for name, token in tokens.items()},
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_conformance(api: Api, name: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", name]
    done = subprocess.run(
        command, cwd=SUITE, env=environment(api), capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.slow
def test_no_query_reads_all_of_what_grows(recorder: Recorder, api: Api) -> None:
    """Of all that the suite made the server ask; it comes last."""
    assert scans(recorder.shapes, recorder.store_url, recorder.database) == []
