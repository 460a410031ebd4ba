"""A real S3 server: rclone's, with a bucket of its own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.api import free_port

__all__ = ["Bucket", "bucket"]

_PATIENCE = 30.0


@dataclass(frozen=True)
class Bucket:
    """Where it is, and its files on this machine."""

    endpoint: str
    name: str
    folder: Path
    access_key: str = "AKTEST"
    secret_key: str = "a-secret-key"

    def credential(self) -> dict[str, object]:
        """As it is kept by the server."""
        return {"url": self.endpoint, "type": "s3", "buckets": [self.name], "access_key": self.access_key,
                "secret_key": self.secret_key}


@contextlib.contextmanager
def bucket(folder: Path) -> Iterator[Bucket]:
    """A running S3 server with one bucket."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    if program is None:
        pytest.skip("rclone is not installed")
    port = free_port()
    made = Bucket(f"http://127.0.0.1:{port}", "data", folder / "data")
    made.folder.mkdir(parents=True)
    argv = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key",
            f"{made.access_key},{made.secret_key}", "--config", str(folder / "none"),
            "--dir-cache-time", "0s", str(folder)]
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(made.endpoint, child)
        yield made
    finally:
        child.terminate()
        child.wait()


def _wait_for(url: str, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            assert child.poll() is None, "rclone ended"
            assert time.monotonic() < deadline, "rclone does not answer"
            time.sleep(0.05)
        else:
            return
