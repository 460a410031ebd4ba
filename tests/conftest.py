"""What holds for all tests: time decides nothing, since machines may be busy; what was skipped is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.skips import Skip, table

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

collect_ignore = ["conformance", "dbcheck"]  # suites of their own, which tests here run against a server

TOGETHER = ("tests/integration/condor/", "tests/browser/", "tests/chaos/")
"""Folders whose tests share something expensive: a pool, a browser, the whole machine."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long forms run at night or by hand: ``pytest … -m nightly``."""
    if "nightly" in (config.option.markexpr or ""):
        return
    for item in items:
        if item.get_closest_marker("nightly"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; run it with -m nightly"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table at the end of a run."""
    skips = [Skip(report.nodeid.partition("::")[0], str(report.longrepr[2]))
             for report in terminalreporter.stats.get("skipped", []) if isinstance(report.longrepr, tuple)]
    if skips:
        terminalreporter.section("left out")
        for line in table(skips):
            terminalreporter.write_line(line)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """With several workers, a file's tests run on one of them, and so do folders that share something."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((folder for folder in TOGETHER if nodeid.startswith(folder)),
                        nodeid.partition("::")[0])

    config.option.loadscopereorder = False  # what takes long comes early, few tests that they may be
    return ByFile(config, log)
