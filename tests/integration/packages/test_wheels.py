"""The wheel, installed into empty environments outside the checkout: the whole program, and a light one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.version import PRODUCT
from tests.support.installation import PATIENCE, wait_until
from tools import audit, dist

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "one-program.yaml"
PACKAGES = ["config", "scanner", "iceprod", "grid", "server"]
HEAVY = {"numpy", "numba", "llvmlite", "scipy", "astropy", "matplotlib", "tornado", "pymongo", "cryptography"}
KNOWN = audit.reviewed(audit.CONSTRAINTS.read_text())


@dataclass
class Environment:
    """A virtual environment with a wheel, and a folder to run its commands in."""

    root: Path

    @property
    def python(self) -> Path:
        return self.root / "venv" / "bin" / "python"

    def install(self, wheel: Path, extras: str) -> None:
        _done([sys.executable, "-m", "venv", "--without-pip", self.root / "venv"])
        _done([sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet", "--no-compile",
               "--constraint", audit.CONSTRAINTS, f"{wheel}{extras}"])

    def iceprod(self, *words: str | Path, status: int = 0) -> str:
        """Run its command; what it printed."""
        return self._run([self.root / "venv" / "bin" / "iceprod", *words], status)

    def run(self, code: str) -> str:
        """Run Python code."""
        return self._run([self.python, "-c", code], 0)

    def _run(self, words: list[str | Path], status: int) -> str:
        ours = ("ICEPROD", "PYTHON", "XDG_STATE")
        variables = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        variables |= {"XDG_STATE_HOME": str(self.root / "state"), "COLUMNS": "200"}
        done = subprocess.run(words, cwd=self.root, check=False, capture_output=True, text=True,
                              timeout=PATIENCE, env=variables)
        assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout if not status else done.stdout + done.stderr

    def up(self) -> str:
        """Start the server of the demo, without pilots; where it answers."""
        told = self.iceprod("up", "--data", "demo/data", "--port", "0", "--no-pilots", "--json")
        return str(json.loads(told)["url"])

    def installed(self) -> set[str]:
        """The distributions."""
        asked = "import importlib.metadata as m; print(*{d.metadata['Name'] for d in m.distributions()})"
        return {audit.canonical(name) for name in self.run(asked).split()}


def _done(words: list[str | Path]) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    probe = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder / "probe"),
             f"click=={KNOWN['click']}"]
    if subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("no package index answers, and empty environments have to be filled")
    return dist.pack(folder)


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    return dist.wheel(source, source.parent)


@pytest.fixture(scope="module")
def whole(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    here = Environment(tmp_path_factory.mktemp("whole"))
    here.install(wheel, "[server,scanner]")
    yield here
    with contextlib.suppress(AssertionError):
        here.iceprod("down", "--data", "demo/data")


@pytest.fixture(scope="module")
def light(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    here = Environment(tmp_path_factory.mktemp("light"))
    here.install(wheel, "")
    return here


def test_the_wheel_has_every_file_of_the_packages_and_the_documentation(wheel: Path) -> None:
    """It was built from the source archive, so that lacks none, either."""
    ours = subprocess.run(["git", "ls-files", *PACKAGES, "docs"], cwd=ROOT, check=True, capture_output=True,
                          text=True).stdout.split()
    here = [path for path in ours if (ROOT / path).exists()]  # not what was removed and not committed yet
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert not {re.sub("^docs/", "server/web/docs/", path) for path in here} - names
    assert {name.partition("/")[0] for name in names if "dist-info" not in name} == set(PACKAGES)
    assert not [name for name in names if "machine/built" in name]
    assert wheel.name.endswith("-py3-none-any.whl")


def test_a_wheel_with_compiled_fits_is_for_machines_of_this_kind(source: Path, tmp_path: Path) -> None:
    compiled = tmp_path / "built"
    compiled.mkdir()
    (compiled / "track.x86-64-v2").write_bytes(b"machine code")
    made = dist.wheel(source, tmp_path, compiled)
    tag = f"linux_{os.uname().machine}"
    assert made.name.endswith(f"-py3-none-{tag}.whl")
    with zipfile.ZipFile(made) as archive:
        assert archive.read("scanner/machine/built/track.x86-64-v2") == b"machine code"
        about = next(name for name in archive.namelist() if name.endswith("/WHEEL"))
        assert f"Tag: py3-none-{tag}\n" in archive.read(about).decode()


def test_the_demo_runs_from_the_wheel(whole: Environment) -> None:
    told = json.loads(whole.iceprod("demo", "--json"))
    for name in ("event", "result", "skymap", "zoom"):
        assert (whole.root / told[name]).stat().st_size > 1000
    lies = whole.run("import server, scanner; print(*server.__path__, *scanner.__path__)").split()
    assert all(path.startswith(str(whole.root)) for path in lies)


def test_a_server_of_the_wheel_shows_the_documentation(whole: Environment) -> None:
    url = whole.up()
    for path, text in (("/web/docs", b"Documentation"), ("/web/docs/tutorial", b"From nothing to a sky map"),
                       ("/web/docs/pictures/home.webp", b"WEBP")):
        with urllib.request.urlopen(f"{url}{path}", timeout=60) as answer:
            assert text in answer.read()


def test_what_it_is_made_of_is_told(whole: Environment, tmp_path: Path) -> None:
    """In CycloneDX's form, which its program checks; every version is the reviewed one."""
    bill = json.loads(dist.describe(whole.python, tmp_path / "sbom.cdx.json").read_text())
    found = {audit.canonical(part["name"]): part["version"] for part in bill["components"]}
    product = found.pop(PRODUCT)
    assert f"{whole.iceprod('--version')}" == f"iceprod, version {product}\n"
    assert found.keys() >= HEAVY
    assert found == {name: KNOWN.get(name) for name in found}


def test_the_light_one_is_a_client_and_a_pilot(whole: Environment, light: Environment) -> None:
    """It submits a dataset and a scan, runs the programs, and leaves the pixels to others."""
    assert not light.installed() & HEAVY
    url = whole.up()
    token, pilots = (whole.iceprod("token", "--data", "demo/data", "--user", "x", "--roles", roles).strip()
                     for roles in ("user,admin", "pilot"))
    asked = ["--server", url, "--token", token]
    shutil.copy(EXAMPLE, light.root / "config.yaml")
    shutil.copy(whole.root / "demo" / "event.json", light.root)
    (light.root / "token").write_text(pilots)

    light.run(f"from iceprod.client import connect; connect({url!r}, {token!r}).scan('event.json')")
    wait_until(lambda: json.loads(light.iceprod("status", "--json", *asked)).get("tasks", {}).get("waiting"))
    dataset = json.loads(light.iceprod("submit", "config.yaml", "--jobs", "2", "--json", *asked))
    told = json.loads(light.iceprod("pilot", "--server", url, "--token-file", "token", "--cores", "1",
                                    "--memory", "1.5", "--idle", "10", "--json"))
    assert told["tasks"] == 2
    light.iceprod("wait", dataset["dataset_id"], *asked)
    newest = json.loads(light.iceprod("scans", "--json", *asked))["scans"][-1]
    assert newest["pixels"] == 0
    assert not newest["is_final"]


def test_the_light_one_rehearses_and_says_what_it_lacks(light: Environment) -> None:
    shutil.copy(EXAMPLE, light.root / "config.yaml")
    assert "seed 0" in light.iceprod("run", "config.yaml")
    for words in ("simulate", "event x.json", "up", "demo", "backup --out x", "store check", "bench tasks"):
        told = light.iceprod(*words.split(), status=2)
        assert re.fullmatch(r"error: this needs \w+, which is not installed here: "
                            r"pip install 'iceprod-scanner\[(server|scanner)\]'\n", told)


def test_beside_the_other_iceprod_it_refuses(wheel: Path, tmp_path: Path) -> None:
    """What matters of the other's wheel is there: pip's record, and the module that both have."""
    here = Environment(tmp_path)
    here.install(wheel, "")
    packages = Path(here.run("import sysconfig; print(sysconfig.get_paths()['purelib'])").strip())
    other = packages / "iceprod-3.1.3.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.4\nName: iceprod\nVersion: 3.1.3\n")
    (packages / "iceprod" / "__init__.py").write_text('"""The other one."""\n')
    for words in (["status"], ["--help"], ["submit", "x.yaml"]):
        told = here.iceprod(*words, status=2)
        assert told.startswith("error: the other program of this name, iceprod 3.1.3, is installed in "
                               f"{packages}, too.")
    said = here.run("try:\n    import iceprod.client\nexcept ImportError as error:\n    print(error)")
    assert "Keep each in an environment of its own" in said
