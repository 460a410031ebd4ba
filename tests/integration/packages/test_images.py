"""Both images are built of the Containerfile and started: a server, and a pilot that works for it.

No registry is asked: the base is a Debian made on the spot. `ICEPROD_TEST_IMAGES=FOLDER` keeps it, and the
layers, for the next time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.version import version
from scanner.recos.recos import FITS
from tests.support.api import free_port
from tests.support.installation import PATIENCE, wait_until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3000)]

ROOT = Path(__file__).parents[3]
BASE, MIRROR = "localhost/base", "http://deb.debian.org/debian"
OURS = [Path("/etc/ssl/certs"), Path("/etc/pip.conf")]
"""What the way to package indexes may need on this machine."""


@dataclass
class Builder:
    """Buildah without a daemon, with a storage of its own; containers have the network of this machine."""

    storage: Path

    def run(self, *words: str | Path, seconds: float = PATIENCE) -> str:
        done = subprocess.run(self._argv(*words), check=False, capture_output=True, text=True,
                              timeout=seconds)
        assert done.returncode == 0, (words, done.stdout[-4000:], done.stderr[-4000:])
        return done.stdout.strip()

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(self._argv(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True)

    def has(self, image: str) -> bool:
        return image in self.run("images", "--format", "{{.Name}}").split()

    def described(self, image: str) -> dict[str, Any]:
        """What starts in it, and how."""
        found = json.loads(self.run("inspect", "--type", "image", image))
        return dict(found["Docker"]["config"])

    def _argv(self, *words: str | Path) -> list[str]:
        head = ["buildah", "--root", self.storage / "containers", "--runroot", self.storage / "run"]
        return [str(word) for word in [*head, *words]]


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    if os.geteuid() or not all(shutil.which(name) for name in ("buildah", "debootstrap")):
        pytest.skip("no buildah and debootstrap, or no root to run them")
    os.environ.setdefault("BUILDAH_ISOLATION", "chroot")
    kept = os.environ.get("ICEPROD_TEST_IMAGES")
    made = Builder(Path(kept) if kept else tmp_path_factory.mktemp("images"))
    yield made
    made.run("rm", "--all")
    if not kept:
        made.run("rmi", "--all", "--force")


@pytest.fixture(scope="module")
def images(builder: Builder, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    if not builder.has(BASE):
        _make_base(builder, tmp_path_factory.mktemp("base"))
    volumes = [word for path in OURS if path.exists() for word in ("--volume", f"{path}:{path}:ro")]
    for target in ("server", "pilot"):
        builder.run("build", "--format", "docker", "--layers", "--build-arg", f"BASE={BASE}", "--target",
                    target, "--tag", f"iceprod-{target}", *volumes, ROOT, seconds=1400)
    return builder


def _make_base(builder: Builder, folder: Path) -> None:
    root, archive = folder / "root", folder / "base.tar"
    packages = "--include=python3,python3-venv,ca-certificates"
    subprocess.run(["debootstrap", "--variant=minbase", packages, "bookworm", root, MIRROR], check=True,
                   capture_output=True, timeout=900)
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True, timeout=300)
    container = builder.run("from", "scratch")
    builder.run("add", "--quiet", container, archive, "/")
    builder.run("commit", "--quiet", "--rm", container, BASE)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(images: Builder) -> Iterator[tuple[str, str]]:
    """A container in which a server runs, and its address."""
    container, port = images.run("from", "localhost/iceprod-server"), free_port()
    words = images.described("localhost/iceprod-server")["Entrypoint"]
    words[words.index("--port") + 1] = str(port)
    process = images.start("run", "--env", "ICEPROD__PILOTS__COUNT=0", container, "--", *words)
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: _health(url, process).get("status") == "ok")
    yield container, url
    images.run("run", container, "--", "iceprod", "down", "--data", "/data")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out


def _health(url: str, process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.poll() is None, process.communicate()
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=10) as answer:
            return dict(json.loads(answer.read()))
    except (urllib.error.URLError, OSError):
        time.sleep(0.5)
        return {}


def test_images_say_who_runs_in_them_and_how_they_are(images: Builder) -> None:
    server, pilot = (images.described(f"localhost/iceprod-{name}") for name in ("server", "pilot"))
    assert server["User"] == pilot["User"] == "1000"
    assert "/data" in server["Volumes"]
    assert "healthz" in " ".join(server["Healthcheck"]["Test"])


def test_images_are_of_this_version_and_bring_compiled_fits(images: Builder) -> None:
    asked = "from scanner.machine.keeping import SHIPPED; print(*[p.stem for p in SHIPPED.iterdir()])"
    for name in ("server", "pilot"):
        container = images.run("from", f"localhost/iceprod-{name}")
        assert version() in images.run("run", container, "--", "iceprod", "--version")
        assert set(FITS) <= set(images.run("run", container, "--", "python", "-c", asked).split())


def test_the_health_check_of_the_image_sees_the_server(images: Builder, server: tuple[str, str]) -> None:
    container, url = server
    kind, *words = images.described("localhost/iceprod-server")["Healthcheck"]["Test"]
    assert kind == "CMD"
    port = url.rpartition(":")[2]
    images.run("run", container, "--", *(word.replace("8080", port) for word in words))


def test_a_pilot_of_the_image_does_a_task_of_the_server(images: Builder, server: tuple[str, str],
                                                        tmp_path: Path) -> None:
    container, url = server

    def iceprod(*words: str) -> str:
        examples = f"{ROOT / 'docs' / 'examples'}:/examples:ro"
        return images.run("run", "--volume", examples, container, "--", "iceprod", *words)

    user, pilots = (iceprod("token", "--data", "/data", "--user", "x", "--roles", roles)
                    for roles in ("user,admin", "pilot"))
    asked = ("--server", url, "--token", user)
    dataset = json.loads(iceprod("submit", "/examples/one-program.yaml", "--jobs", "2", "--json", *asked))
    token = tmp_path / "token"
    token.write_text(pilots)
    tmp_path.chmod(0o755)
    token.chmod(0o644)
    pilot = images.run("from", "localhost/iceprod-pilot")
    program = images.described("localhost/iceprod-pilot")["Entrypoint"]
    told = images.run("run", "--volume", f"{token}:/etc/iceprod/token:ro", pilot, "--", *program, "--server",
                      url, "--token-file", "/etc/iceprod/token", "--cores", "1", "--memory", "1.5",
                      "--idle", "20", "--json")
    assert json.loads(told.splitlines()[-1])["tasks"] == 2
    iceprod("wait", dataset["dataset_id"], *asked)
