"""The black-box suite of the IceProd and SkyDriver APIs, run against a real server: on the embedded store,
and on the database that ICEPROD_ORACLE_URL names.
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

SUITE = CONFORMANCE / "production_and_scans"
FILES = sorted(path.name for path in SUITE.glob("test_*.py"))


@pytest.fixture(scope="module", params=DATABASES)
def api(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Api]:
    with chosen(request.param), running_server(tmp_path_factory.mktemp("conformance")) as server:
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
