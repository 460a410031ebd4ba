"""Behind the proxies of the documentation, clients are told apart by their own addresses."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Api, Session, free_port, running_server
from tests.support.installation import wait_until

DOCS = Path(__file__).parents[3] / "docs" / "proxy"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = {"SERVER__TRUSTED_PROXIES": "[127.0.0.1]", "DESK__BURST": 3, "DESK__REQUESTS_PER_SECOND": 0.5}
    with running_server(tmp_path_factory.mktemp("api"), settings) as server:
        yield server


def nginx(folder: Path, port: int, server: str) -> list[str]:
    """The documented configuration, at this port and without TLS."""
    text = (DOCS / "nginx.conf").read_text()
    text = text.replace("127.0.0.1:8080", server).replace("443 ssl", f"127.0.0.1:{port}")
    text = re.sub(r"    ssl_certificate.*\n", "", text)
    temporary = "".join(f"{name}_temp_path {folder}/{name};\n"
                        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(f"pid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n"
                                       f"{temporary}{text}}}\n")
    return ["nginx", "-e", f"{folder}/error", "-c", f"{folder}/nginx.conf", "-g", "daemon off;"]


def haproxy(folder: Path, port: int, server: str) -> list[str]:
    """The documented configuration, at this port and without TLS."""
    text = (DOCS / "haproxy.cfg").read_text().replace("127.0.0.1:8080", server)
    text = re.sub(r"bind :443.*", f"bind 127.0.0.1:{port}", text)
    (folder / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


@pytest.mark.parametrize(("make", "address"), [(nginx, "192.0.2.7"), (haproxy, "192.0.2.8")],
                         ids=["nginx", "haproxy"])
def test_each_client_has_its_own_limit(api: Api, tmp_path: Path, make: object, address: str,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/sbin:/sbin", prepend=":")
    assert callable(make)
    port = free_port()
    argv = make(tmp_path, port, api.url.removeprefix("http://"))
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{argv[0]} is not installed")
    proxy = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    session = Session(f"http://127.0.0.1:{port}", api.token("user"))
    try:
        wait_until(lambda: _status(session, "/healthz", "") == 200)
        far = {_status(session, "/api/groups", address) for _ in range(12)}
        assert far == {200, 429}
        assert {_status(session, "/api/groups", "") for _ in range(6)} == {200}  # of this machine, exempt
    finally:
        session.close()
        proxy.terminate()
        proxy.wait(20)


def _status(session: Session, path: str, address: str) -> int:
    headers = {"X-Forwarded-For": address} if address else {}
    try:
        return session.get(path, headers=headers).status_code
    except OSError:
        return 0
