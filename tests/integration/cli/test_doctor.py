"""`iceprod doctor` on real installations, sound ones and ones with a fault each."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.embedded.access import store_url
from tests.support.api import free_port, running_server
from tests.support.installation import Installed, installation, wait_until

pytestmark = pytest.mark.slow

Found = dict[str, dict[str, str]]
COMMAND = [sys.executable, "-m", "iceprod"]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with installation(tmp_path_factory.mktemp("doctor"), pilots=0) as made:
        yield made


def _doctor(here: Installed, *words: str | Path, status: int = 0, **environment: str) -> Found:
    """What it finds, the worst of each check."""
    process = subprocess.run([*COMMAND, "doctor", "--json", *map(str, words)], text=True, capture_output=True,
                             env=here.environment | environment, cwd=here.root, check=False)
    assert process.returncode == status, process.stdout + process.stderr
    told = json.loads(process.stdout)
    order = ["left out", "ok", "odd", "wrong"]
    return {one["check"]: one for one in sorted(told["findings"], key=lambda one: order.index(one["state"]))}


def test_a_sound_installation(here: Installed) -> None:
    found = _doctor(here, "--data", here.data)
    assert {one["state"] for one in found.values()} <= {"ok", "left out", "odd"}
    for check in ("directory", "server", "token", "clock", "bodies", "database", "schema", "indexes"):
        assert found[check]["state"] == "ok", found[check]
    assert not any(one["advice"] for one in found.values() if one["state"] == "ok")


def test_it_is_read_by_people_too(here: Installed) -> None:
    printed = here.iceprod("doctor", "--data", here.data)
    assert "the server accepts our token" in printed
    assert printed.splitlines()[-1].startswith("0 wrong")


def test_a_secret_that_others_may_read(here: Installed) -> None:
    secret = here.data / "secret"
    secret.chmod(0o644)
    try:
        found = _doctor(here, "--data", here.data, status=1)
        assert f"chmod 600 {secret}" in found["directory"]["advice"]
    finally:
        secret.chmod(0o600)


def test_an_index_is_missing(here: Installed) -> None:
    client: pymongo.MongoClient[dict[str, Any]]
    with store_url(here.data / "store") as url, pymongo.MongoClient(url) as client:
        name = next(name for name in client.iceprod.tasks.index_information() if name != "_id_")
        before = client.iceprod.tasks.index_information()[name]
        client.iceprod.tasks.drop_index(name)
        found = _doctor(here, "--data", here.data)
        assert (found["indexes"]["state"], f"tasks.{name}" in found["indexes"]["text"]) == ("odd", True)
        client.iceprod.tasks.create_index(before["key"], name=name)


def test_a_server_of_another_secret(here: Installed, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (other / "secret").write_text("n" * 64)
    (other / "secret").chmod(0o600)
    with here.client() as client:
        found = _doctor(here, "--data", other, "--server", client.url, status=1)
    assert found["token"]["state"] == "wrong"
    assert "the same file" in found["token"]["advice"]
    assert not (other / "store").exists()


def test_an_installation_that_does_not_run(tmp_path: Path) -> None:
    with installation(tmp_path, pilots=None) as there:
        words = there.iceprod("doctor", "--data", there.data, status=2)
        assert "nothing to examine" in words
        assert not there.data.exists()
        there.up(pilots=0)
        there.down()
        assert _doctor(there, "--data", there.data)["server"]["state"] == "left out"
        with store_url(there.data / "store") as url, pymongo.MongoClient(url) as client:
            client["iceprod"].meta.update_one({"_id": "schema"}, {"$set": {"version": 999, "oldest": 999}})
        found = _doctor(there, "--data", there.data, status=1)
        assert "999" in found["schema"]["text"]
        config = there.root / "away.yaml"
        config.write_text('{"database": {"url": "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=500"}}')
        found = _doctor(there, "--data", there.data, "--config", config, status=1)
        assert "does not answer" in found["database"]["text"]


def _certificate(folder: Path, days: int) -> Path:
    """A certificate for localhost with its key in one file, good for so many days; it vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"localhost for {days} days")])
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(days=1))
            .not_valid_after(datetime.now(UTC) + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256()))
    file = folder / f"{days}.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return file


CAREFUL = """
defaults
    mode http
    timeout connect 5s
    timeout client 120s
    timeout server 120s
frontend good
    bind 127.0.0.1:{good} ssl crt {long}
    option forwardfor
    default_backend servers
frontend careless
    bind 127.0.0.1:{careless} ssl crt {short}
    http-request set-header Host 127.0.0.1
    http-request deny deny_status 413 if {{ req.body_size gt 1000000 }}
    default_backend servers
backend servers
    server one {server}
"""


def test_what_proxies_do_and_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a real proxy with TLS: one as documented, and one that does all of it wrong."""
    monkeypatch.setenv("PATH", "/usr/sbin:/sbin", prepend=":")
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed")
    good, careless = free_port(), free_port()
    settings = {"SERVER__TRUSTED_PROXIES": "[127.0.0.1]", "SERVER__PUBLIC_URL": f"https://localhost:{good}"}
    with running_server(tmp_path / "api", settings) as api:
        text = CAREFUL.format(good=good, careless=careless, server=api.url.removeprefix("http://"),
                              long=_certificate(tmp_path, 90), short=_certificate(tmp_path, 3))
        (tmp_path / "haproxy.cfg").write_text(text)
        trusted = tmp_path / "trusted.pem"
        trusted.write_bytes(b"".join((tmp_path / f"{days}.pem").read_bytes() for days in (90, 3)))
        proxy = subprocess.Popen(["haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg")])
        here = Installed(tmp_path)

        def through(port: int, status: int, file: Path = trusted) -> Found:
            return _doctor(here, "--server", f"https://localhost:{port}", "--token", api.token("user"),
                           status=status, SSL_CERT_FILE=str(file))

        try:
            wait_until(lambda: not _refused(careless))
            found = through(good, 0)
            states = {check: one["state"] for check, one in found.items()}
            assert states == {**states, **dict.fromkeys(("proxy", "certificate", "bodies", "token"), "ok")}
            assert "address" not in found
            found = through(careless, 1)
            assert found["certificate"]["state"] == "odd"
            assert found["proxy"]["state"] == "wrong"
            assert "client_max_body_size" in found["bodies"]["advice"]
            found = through(good, 1, _certificate(tmp_path, 10))
            assert "certificate" in found["server"]["text"]
            assert found["certificate"]["state"] == "wrong"
        finally:
            proxy.terminate()
            proxy.wait(20)


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return True
    return False


@pytest.mark.skipif(not os.environ.get("ICEPROD_ORACLE_URL"), reason="ICEPROD_ORACLE_URL names no MongoDB")
def test_a_database_that_is_one_process_alone(here: Installed, tmp_path: Path) -> None:
    config = tmp_path / "mongodb.yaml"
    config.write_text(json.dumps({"database": {"url": os.environ["ICEPROD_ORACLE_URL"], "name": "no_such"}}))
    found = _doctor(here, "--data", here.data, "--config", config)
    assert found["replicas"]["state"] in ("odd", "ok")
    assert found["schema"]["state"] == "odd"
    assert found["indexes"]["state"] == "odd"
