"""What ``iceprod doctor`` looks at of a grid's site file: the token, the server, and HTCondor itself."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from pathlib import Path

import jwt

from config.settings import SettingsError
from grid.base import GridError
from grid.condor.bindings import load_bindings
from grid.condor.schedd import Schedd
from grid.condor.site import Site, load_site
from iceprod.checks.findings import Finding, left_out, odd, well, wrong
from iceprod.checks.subject import Check, Subject
from iceprod.transport import Client, ClientError

__all__ = ["CHECKS"]

EXPIRES_SOON = 14.0  # days
EVERYBODY = stat.S_IRWXG | stat.S_IRWXO


def sites(subject: Subject) -> Iterator[Finding]:
    """Everything about the sites whose files were named."""
    if not subject.sites:
        yield left_out("site", "no site file of a grid was named (--site FILE)")
    for path in subject.sites:
        try:
            site = load_site(path)
        except SettingsError as error:
            yield wrong("site", str(error), "correct the file (docs/admin.md)")
            continue
        yield from _token(site)
        yield from _condor(site)


def _token(site: Site) -> Iterator[Finding]:
    """Whether the grid's token is there, its owner's alone, good, and accepted."""
    check = f"{site.site} token"
    if not site.token_file:
        yield left_out(check, "the site file names no token_file")
        return
    path = Path(site.token_file).expanduser()
    try:
        token = path.read_text(encoding="ascii").strip()
        if path.stat().st_mode & EVERYBODY:
            yield wrong(check, f"others than its owner may use {path}", f"chmod 600 {path}")
    except (OSError, UnicodeDecodeError) as error:
        yield wrong(check, f"{path} cannot be read: {error}",
                    "make one: iceprod token --user grid-NAME --roles system")
        return
    yield _expiry(check, token)
    yield _accepted(check, site, token)


def _expiry(check: str, token: str) -> Finding:
    """How long a token is good, as it says itself."""
    try:
        until = jwt.decode(token, options={"verify_signature": False}).get("exp")
    except jwt.PyJWTError as error:
        return wrong(check, f"the file holds no token: {error}",
                     "make one: iceprod token --user grid-NAME --roles system")
    if until is None:
        return odd(check, "it never expires", "make one that does, and renew it: --hours 8760")
    days, advice = (float(until) - time.time()) / 86400, "put a new one into the file, which is read again"
    if days < 0:
        return wrong(check, f"it expired {-days:.1f} days ago", advice)
    if days < EXPIRES_SOON:
        return odd(check, f"it expires in {days:.1f} days", advice)
    return well(check, f"it expires in {days:.0f} days")


def _accepted(check: str, site: Site, token: str) -> Finding:
    try:
        with Client(site.server, token) as client:
            client.get("/task_classes")
    except ClientError as error:
        return wrong(check, f"{site.server}: {error}",
                     "the server must run, and the token be one of the role system, signed with its secret")
    return well(check, f"{site.server} accepts it")


def _condor(site: Site) -> Iterator[Finding]:
    """Whether the access point answers, and its pool has machines."""
    check = f"{site.site} condor"
    try:
        bindings = load_bindings(site.condor)
        schedd = Schedd(bindings, site.condor)
        yield well(check, f"the schedd {schedd.name} answers ({schedd.version}); bindings {bindings.version}")
        machines = schedd.machines(site.pilot.requirements)
    except GridError as error:
        yield wrong(check, str(error), "see condor_status -schedd, condor_ping -type schedd WRITE, and "
                    "docs/admin.md")
        return
    if machines:
        yield well(check, f"{len(machines)} machines would take pilots")
    else:
        yield odd(check, "no machine of the pool would take a pilot now",
                  "compare pilot.requirements with condor_status; where jobs flock, this may be as it should")


CHECKS: tuple[Check, ...] = (sites,)
