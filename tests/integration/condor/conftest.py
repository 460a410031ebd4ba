"""Two pools, a server, and datasets of short tasks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.api import Api, running_server
from tests.support.condor import Pool, pool
from tests.support.condor_work import Work

NEVER = 3600  # seconds; so long are leases, so that nothing comes back because one ran out


@pytest.fixture(scope="session")
def pool_a(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """Eight cores, no GPU."""
    with pool(tmp_path_factory.mktemp("pools") / "siteA", cpus=8) as made:
        yield made


@pytest.fixture(scope="session")
def pool_b(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """Four cores and a GPU."""
    with pool(tmp_path_factory.mktemp("pools") / "siteB", cpus=4, gpus=1) as made:
        yield made


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_server(tmp_path_factory.mktemp("server"), {"LEASES__SECONDS": NEVER}) as running:
        yield running


@pytest.fixture
def work(api: Api) -> Work:
    return Work(api)
