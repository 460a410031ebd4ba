"""Machine code is kept by the sources it was made from."""

from __future__ import annotations

from pathlib import Path

import pytest
from numba.core import config as numba_config

from scanner.common import compiled
from scanner.common.compiled import source_digest


def test_code_is_kept_in_a_folder_named_after_the_sources() -> None:
    assert Path(numba_config.CACHE_DIR).name == source_digest()


@pytest.mark.parametrize("place", ["recos/track/likelihood.py", "common/fastmath.py", "light/ice.py"])
def test_a_changed_kernel_or_constant_changes_the_folder(place: str, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "scanner"
    for path in compiled._PACKAGE.rglob("*.py"):
        target = package / path.relative_to(compiled._PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    monkeypatch.setattr(compiled, "_PACKAGE", package)
    monkeypatch.setattr(compiled, "_CONSTANTS",
                        (package / "light/ice.py", package / "light/pandel.py", compiled._CONSTANTS[-1]))
    before = source_digest()
    with (package / place).open("a") as source:
        source.write("# a change\n")
    assert source_digest() != before


def test_an_unwritable_place_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setattr(numba_config, "CACHE_DIR", str(blocked))
    assert compiled._own_folder() is None
