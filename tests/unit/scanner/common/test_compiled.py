"""Machine code is kept by the sources it was made from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.common import compiled
from scanner.common.compiled import own_folder, source_digest


@pytest.fixture
def fresh() -> Iterator[None]:
    source_digest.cache_clear()
    yield
    source_digest.cache_clear()


def test_code_is_kept_in_a_folder_named_after_the_sources_and_the_compiler(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    folder = own_folder()
    assert folder is not None
    assert folder.parent == tmp_path
    assert folder.name == f"{source_digest()}-{compiled.compiler_version()}"


@pytest.mark.parametrize("place", ["scanner/recos/track/likelihood.py", "scanner/common/fastmath.py",
                                   "scanner/light/ice.py", "scanner/machine/building.py", "config/ice.py",
                                   "config/data/shower_light.csv"])
@pytest.mark.usefixtures("fresh")
def test_a_changed_kernel_or_constant_changes_the_folder(place: str, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    house = compiled._PACKAGE.parent
    for path in (*compiled._PACKAGE.rglob("*.py"), *house.glob("config/*.py"), *house.glob("config/data/*")):
        target = tmp_path / path.relative_to(house)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    monkeypatch.setattr(compiled, "_PACKAGE", tmp_path / "scanner")
    monkeypatch.setattr(compiled, "_CONSTANTS",
                        tuple(tmp_path / path.relative_to(house) for path in compiled._CONSTANTS))
    before = source_digest()
    with (tmp_path / place).open("a") as source:
        source.write("# a change\n")
    source_digest.cache_clear()
    assert source_digest() != before


def test_an_unwritable_place_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(blocked))
    assert own_folder() is None


def test_a_place_that_others_may_write_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies there is run: it would be anybody's code."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    folder = own_folder()
    assert folder is not None
    folder.chmod(0o777)
    assert own_folder() is None


def test_a_kernel_that_is_named_but_not_called_imports_no_compiler() -> None:
    asked = "import sys, scanner.recos.losses, scanner.recos.track.fit; print('numba' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True)
    assert told.stdout == "False\n"
