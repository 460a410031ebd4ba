"""A real directory service, OpenLDAP's slapd, that knows a few people.

    with running_slapd(folder, {"ada": "lovelace"}) as directory:
        ldap3.Server(directory.url)
"""

from __future__ import annotations

import contextlib
import datetime
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.api import free_port

__all__ = ["SLAPD", "Directory", "running_slapd"]

SLAPD = shutil.which("slapd") or shutil.which("slapd", path="/usr/sbin:/usr/local/libexec:/usr/libexec")
START_SECONDS = 30

CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
TLSCACertificateFile {folder}/cert.pem
TLSCertificateFile {folder}/cert.pem
TLSCertificateKeyFile {folder}/key.pem
database mdb
maxsize 16777216
suffix "dc=icecube,dc=test"
directory {folder}/tree
access to attrs=userPassword by anonymous auth by * none
access to * by * read
"""
TREE = """
dn: dc=icecube,dc=test
objectClass: dcObject
objectClass: organization
o: Test
dc: icecube

dn: ou=people,dc=icecube,dc=test
objectClass: organizationalUnit
ou: people
"""
PERSON = """
dn: {dn}
objectClass: inetOrgPerson
uid:: {uid}
cn: Somebody
sn: Body
userPassword: {password}
"""


@dataclass(frozen=True)
class Directory:
    """Where the service listens, how people's entries are called, and whom its certificate is signed by."""

    url: str
    tls_url: str
    user_dn: str
    ca_file: Path


@contextlib.contextmanager
def running_slapd(folder: Path, people: dict[str, str]) -> Iterator[Directory]:
    """A running service that knows these names and passwords. Raises RuntimeError when it does not start."""
    (folder / "tree").mkdir(parents=True)
    (folder / "slapd.conf").write_text(CONFIG.format(folder=folder))
    (folder / "tree.ldif").write_text(TREE + "".join(_person(*person) for person in people.items()))
    _make_certificate(folder)
    port, tls_port = free_port(), free_port()
    config = ["-f", str(folder / "slapd.conf")]
    fill = [str(SLAPD), "-T", "add", *config, "-l", str(folder / "tree.ldif")]
    filled = subprocess.run(fill, capture_output=True, text=True, check=False)
    if filled.returncode:
        raise RuntimeError(f"the people cannot be added:\n{filled.stderr}")
    urls = f"ldap://127.0.0.1:{port}/ ldaps://127.0.0.1:{tls_port}/"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(SLAPD), *config, "-h", urls, "-d", "0"], stdout=log, stderr=log)
    try:
        _wait(port, process, folder / "log")
        yield Directory(f"ldap://localhost:{port}", f"ldaps://localhost:{tls_port}",
                        "uid={},ou=people,dc=icecube,dc=test", folder / "cert.pem")
    finally:
        process.terminate()
        process.wait()


def _person(name: str, password: str) -> str:
    import base64

    from ldap3.utils.dn import escape_rdn

    dn = f"uid={escape_rdn(name)},ou=people,dc=icecube,dc=test"
    return PERSON.format(dn=dn, uid=base64.b64encode(name.encode()).decode(), password=password)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"slapd did not start:\n{log.read_text(errors='replace')}")


def _make_certificate(folder: Path) -> None:
    """A certificate for localhost that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(),
                                serial_number=x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256()))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
