"""What this machine offers: the directory and its secret, disk, open files, walls around tasks."""

from __future__ import annotations

import os
import resource
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from iceprod.checks.findings import Finding, left_out, odd, well, wrong
from iceprod.checks.subject import Check, Subject
from iceprod.walls.sandbox import View, find_sandbox

__all__ = ["CHECKS"]

LEAST_FREE, LITTLE_FREE = 1 << 30, 10 << 30  # bytes; a database that finds no room stops taking work
FEW_FILES = 4096  # of a process; every pilot and client is one, and the database, and logs


def directory(subject: Subject) -> Iterator[Finding]:
    """Whether the directory and its secret are for their owner alone."""
    secret = subject.data / subject.settings.tokens.secret_file
    try:
        status = secret.stat()
    except FileNotFoundError:
        yield left_out("directory", f"there is no installation in {subject.data} on this machine")
        return
    except OSError as error:
        yield wrong("directory", f"{secret}: {error.strerror}",
                    "run this as the account that runs the server")
        return
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield wrong("directory", f"others than its owner may use {secret}, and so make tokens of any user",
                    f"chmod 600 {secret}; where others may have read it, put a new one in its place, which "
                    "ends all tokens")
    else:
        yield well("directory", f"{subject.data}, its secret is for its owner alone")


def disk(subject: Subject) -> Iterator[Finding]:
    """Whether there is room where the installation writes."""
    if not subject.is_here:
        return
    found = shutil.disk_usage(subject.data)
    text = f"{found.free / 1e9:.1f} of {found.total / 1e9:.0f} GB are free at {subject.data}"
    advice = "make room, move the directory to a larger disk, or archive ended datasets"
    if found.free < LEAST_FREE:
        yield wrong("disk", text, advice)
    elif found.free < LITTLE_FREE:
        yield odd("disk", text, advice)
    else:
        yield well("disk", text)
    yield from _writable(subject.data)


def _writable(folder: Path) -> Iterator[Finding]:
    if not os.access(folder, os.W_OK | os.X_OK):
        yield wrong("disk", f"this account may not write into {folder}",
                    "run this as the account that runs the server; if you do, give it the directory (chown)")


def open_files(subject: Subject) -> Iterator[Finding]:
    """Whether a server here may have as many connections as there are pilots."""
    if not subject.is_here:
        return
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if 0 <= most < FEW_FILES:
        yield odd("open files", f"a process of this account may have {most} open files",
                  "raise the hard limit (LimitNOFILE in the unit, nofile in limits.conf): every pilot is one")
    else:
        yield well("open files", "no limit" if most < 0 else f"up to {most} for each process")


def walls(subject: Subject) -> Iterator[Finding]:
    """Whether tasks of pilots on this machine run isolated."""
    pilots = subject.settings.pilots
    if not subject.is_here or not pilots.count:
        return
    found = find_sandbox(pilots.isolation, View(), pilots.account)
    if found.is_walled:
        yield well("isolation", f"tasks on this machine run behind walls, by {found.means}")
    else:
        better = "set pilots.isolation: auto" if pilots.isolation == "off" else "install bubblewrap"
        yield odd("isolation", f"tasks on this machine can do what their account can: {found.why}",
                  f"{better}, or let only people submit whom you trust (docs/security.md)")


CHECKS: tuple[Check, ...] = (directory, disk, open_files, walls)
