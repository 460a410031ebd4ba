"""A server as the chart's pod starts it: its command, settings and probes, on a root that it cannot write."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python
import psutil
import pytest
import yaml

from iceprod.tokens import encode
from tests.support.api import free_port
from tests.support.installation import wait_until
from tests.support.store import StoreProcess, store_process

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SECRET = "a secret of which all servers know, and nobody else does"
_SYSTEM = ["/etc/ssl", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/ld.so.cache", "/etc/hosts",
           "/etc/localtime", "/etc/alternatives"]


@dataclass
class Pod:
    """What the chart says of a server, and one that runs so."""

    container: dict[str, Any]
    port: int
    process: subprocess.Popen[str]

    def probe(self, name: str) -> int:
        """The status that a probe gets; 0 for no answer."""
        path = self.container[name]["httpGet"]["path"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def stop(self) -> str:
        """As a cluster does; what it had logged. It must end by itself, and well."""
        psutil.Process(self.process.pid).children(recursive=True)[-1].terminate()
        out, _ = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, out[-3000:]
        return out


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreProcess]:
    with store_process(tmp_path / "store") as running:
        yield running


@pytest.fixture
def pod(store: StoreProcess, tmp_path: Path) -> Iterator[Pod]:
    probe = ["bwrap", "--unshare-user", "--ro-bind", "/", "/", "true"]
    if not shutil.which("bwrap") or subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("bubblewrap is not here, or may not do anything")
    with helm_python.Chart.load(ROOT / "packaging" / "helm" / "iceprod") as chart:
        texts = chart.render({"settings": {"logging": {"level": "DEBUG"}}}, name="demo")
    settings = yaml.safe_load(texts["iceprod/templates/configmap.yaml"])["data"]
    pod = yaml.safe_load(texts["iceprod/templates/server.yaml"])["spec"]["template"]["spec"]
    [container] = pod["containers"]
    port = free_port()
    argv = [*_walls(pod, _mounted(settings, tmp_path), store), *_variables(container, store), "--",
            sys.executable, *container["command"][1:],
            *(str(port) if word == "8080" else word for word in container["args"])]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    yield Pod(container, port, process)
    process.kill()
    process.communicate()


def _mounted(settings: dict[str, str], folder: Path) -> dict[str, Path]:
    """Files by the places where the pod mounts them."""
    for name, text in {**settings, "secret": SECRET}.items():
        (folder / name).write_text(text)
    return {"/data/secret": folder / "secret", "/etc/iceprod/server.yaml": folder / "server.yaml"}


def _walls(pod: dict[str, Any], files: dict[str, Path], store: StoreProcess) -> list[str]:
    """Root read-only; of folders only those that the pod makes empty can be written."""
    security = pod["securityContext"]
    words = ["bwrap", "--unshare-user", "--unshare-pid", "--uid", str(security["runAsUser"]), "--gid",
             str(security["runAsGroup"]), "--clearenv", "--die-with-parent", "--tmpfs", "/",
             "--proc", "/proc", "--dev", "/dev", "--ro-bind", "/usr", "/usr"]
    words += [word for name in ("bin", "lib", "lib64") for word in ("--symlink", f"usr/{name}", f"/{name}")]
    empty = {one["name"] for one in pod["volumes"] if "emptyDir" in one}
    [container] = pod["containers"]
    for mount in container["volumeMounts"]:
        words += ["--tmpfs", mount["mountPath"]] if mount["name"] in empty else []
    program = {str(ROOT), sysconfig.get_path("purelib"), sys.prefix, sys.base_prefix}
    for path in [*_SYSTEM, *sorted(program)]:
        words += ["--ro-bind-try", path, path]
    folder = str(store.socket.parent)
    words += ["--bind", folder, folder]
    for place, file in files.items():
        words += ["--ro-bind", str(file), place]
    return [*words, "--remount-ro", "/", "--chdir", "/data"]


def _variables(container: dict[str, Any], store: StoreProcess) -> Iterator[str]:
    """Those of the pod; the database's address is what its Secret would say."""
    for one in container["env"]:
        yield from ("--setenv", one["name"], one.get("value", store.url))


def test_a_server_of_the_chart_lives_and_ends_as_a_cluster_wants(pod: Pod, store: StoreProcess) -> None:
    def ready(status: int) -> bool:
        assert pod.process.poll() is None, pod.process.communicate()[0][-3000:]
        return pod.probe("readinessProbe") == status

    wait_until(lambda: ready(200))
    assert pod.probe("startupProbe") == pod.probe("livenessProbe") == 200

    token = encode(SECRET, "ada", ["user"])
    asked = urllib.request.Request(f"http://127.0.0.1:{pod.port}/connection",
                                   headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert answer.status == 200

    store.kill()
    wait_until(lambda: ready(500))
    assert pod.probe("livenessProbe") == 200  # it is not restarted for what it cannot help
    store.start()
    wait_until(lambda: ready(200))

    lines = [json.loads(line) for line in pod.stop().splitlines() if line.startswith("{")]
    assert "listening" in [line["message"] for line in lines]
