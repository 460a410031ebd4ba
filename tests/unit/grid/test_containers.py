"""Containers of tasks: which image, and what is seen inside."""

from __future__ import annotations

from pathlib import Path

import pytest

from iceprod.walls import containers
from iceprod.walls.containers import Containers, containers_from, own_system

PLACE = Containers({"RHEL_9_x86_64": "", "RHEL_7_x86_64": "/cvmfs/el7.sif"}, ["/data"])


def test_the_image_of_a_task() -> None:
    assert PLACE.image({"container": "docker://x"}, {"os": ["RHEL_7_x86_64"]}) == "docker://x"
    assert PLACE.image({}, {"os": ["RHEL_7_x86_64"]}) == "/cvmfs/el7.sif"
    assert PLACE.image({}, {"os": "RHEL_7_x86_64"}) == "/cvmfs/el7.sif"
    assert PLACE.image({}, {"os": ["RHEL_7_x86_64", "RHEL_9_x86_64"]}) == "", "it is here without a container"
    assert PLACE.image({}, {}) == ""


def test_what_a_container_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(containers.os.path, "isdir", lambda path: path == "/cvmfs")
    line = PLACE.around(["run"], "x.sif", "/job", True)
    assert line == ["/bin/apptainer", "exec", "--nv", "--bind", "/job", "--bind", "/data", "--bind", "/cvmfs",
                    "--pwd", "/job", "x.sif", "run"]
    assert "--nv" not in PLACE.around(["run"], "x.sif", "/job", False)
    assert PLACE.around(["run"], "", "/job", True) == ["run"]


def test_without_apptainer_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers.shutil, "which", lambda name: None)
    with pytest.raises(OSError, match=r"no apptainer here to open the container x\.sif"):
        PLACE.around(["run"], "x.sif", "/job", False)


@pytest.mark.parametrize(("text", "name"), [
    ('ID="almalinux"\nVERSION_ID="9.4"\n', "RHEL_9_x86_64"),
    ("ID=debian\nVERSION_ID=13\n", "Debian_13_x86_64"),
    ("", "Linux_x86_64")])
def test_the_name_of_a_system(text: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "release").write_text(text)
    assert own_system(tmp_path / "release", "x86_64") == name


def test_from_the_command_line() -> None:
    made = containers_from(["A", "B=/b.sif"], ["/x:/y"])
    assert (made.systems, made.binds) == ({"A": "", "B": "/b.sif"}, ["/x:/y"])
    assert list(containers_from([], []).systems) == [own_system()]
