"""The compose file is one, and what it starts fits together."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from config.settings import load
from config.version import version
from grid.cli import pilot

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "packaging" / "compose"
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/sbin:/bin")


def interpolated(text: str) -> str:
    """As compose reads it where nobody set a variable."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


TEXT = interpolated((FOLDER / "compose.yaml").read_text())
WHOLE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES = WHOLE["services"]


def test_it_is_a_compose_file() -> None:
    PyCompose.from_yaml(TEXT).validate()


def test_our_images_are_of_this_version_and_built_from_here() -> None:
    for name in ("server", "pilot"):
        assert SERVICES[name]["image"] == f"localhost/iceprod-{name}:{version()}"
        built = SERVICES[name]["build"]
        assert (FOLDER / built["context"] / built["dockerfile"]).resolve() == ROOT / "Containerfile"
        assert built["target"] == name


def test_settings_are_settings() -> None:
    """And the server believes the proxy, whose address is of the network behind."""
    settings = load(environment=SERVICES["server"]["environment"])
    assert settings.database.url.startswith("mongodb://database/")
    assert "w=majority" in settings.database.url
    [behind] = WHOLE["networks"]["back"]["ipam"]["config"]
    assert [ip_network(name) for name in settings.server.trusted_proxies] == [ip_network(behind["subnet"])]


def test_the_server_takes_what_it_is_given() -> None:
    server, words = SERVICES["server"], SERVICES["server"]["command"]
    program, *module = server["entrypoint"]
    assert program == "python"
    done = subprocess.run([sys.executable, *module, "--help"], check=True, capture_output=True, text=True)
    assert all(word in done.stdout for word in words if word.startswith("--"))
    data = words[words.index("--data") + 1]
    assert [secret["target"] for secret in server["secrets"]] == [f"{data}/secret"]


def test_the_pilot_takes_what_it_is_given() -> None:
    manual = pilot.manual()
    words = [word.partition("=")[0] for word in SERVICES["pilot"]["command"]]
    assert {"--server", "--token-file"} <= set(words)
    assert all(word in manual for word in words)


def test_tasks_cannot_reach_the_database() -> None:
    """It has no passwords, so a task's program must not see it."""
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert networks["pilot"] & networks["proxy"]
    assert not networks["pilot"] & networks["database"]
    assert not networks["pilot"] & networks["server"]


@pytest.mark.parametrize("name", ["server", "pilot"])
def test_what_is_ours_has_no_rights_and_comes_again(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    assert service["restart"] == "unless-stopped"


def test_only_the_proxy_is_reached_from_outside() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]


def test_no_image_is_a_moving_one() -> None:
    for service in SERVICES.values():
        assert re.search(r":\d+\.\d+", service["image"])


def test_files_that_are_mounted_are_there_and_secrets_are_not_kept() -> None:
    for name in (line.partition(":")[0] for line in SERVICES["proxy"]["volumes"]):
        assert (FOLDER / name).exists()
    ignored = (ROOT / ".gitignore").read_text().split()
    for secret in WHOLE["secrets"].values():
        assert f"/packaging/compose/{secret['file'].removeprefix('./')}" in ignored


@pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed")
def test_the_proxy_understands_its_file() -> None:
    words = [str(HAPROXY), "-c", "-f", FOLDER / "haproxy.cfg"]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
