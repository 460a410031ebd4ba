"""What a release is made of says the same everywhere: version, dependencies, changes."""

from __future__ import annotations

import hashlib
import runpy
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import rattler_build
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from config.version import PRODUCT
from tools import dist

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "packaging" / "conda" / "recipe.yaml"
CONDA = {"msgspec": "msgspec-python", "prometheus-client": "prometheus_client", "astropy": "astropy-base",
         "matplotlib": "matplotlib-base", "htcondor": "python-htcondor"}
"""Names that conda-forge spells otherwise."""
OURS = {"__unix", "python"}


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    """What `setup.py` says, by the words of `setup`."""
    said: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(setuptools, "setup", lambda **words: said.update(words))
        runpy.run_path(str(ROOT / "setup.py"))
    return said


def _asked(lines: list[str]) -> Iterator[tuple[str, str]]:
    for needed in map(Requirement, lines):
        name = canonicalize_name(needed.name)
        if needed.extras:
            yield "cryptography", ""
        else:
            yield CONDA.get(name, name), str(needed.specifier)


def _outputs() -> dict[str, set[tuple[str, str]]]:
    found = {}
    for output in rattler_build.MultiOutputRecipe.from_file(str(RECIPE)).render():
        lines = [str(one).split() for one in output.recipe.requirements.run if "{" not in str(one)]
        found[output.recipe.package.name] = {(name, "".join(rest)) for name, *rest in lines
                                             if name not in OURS}
    return found


def test_the_conda_recipe_asks_for_what_the_wheel_asks_for(written: dict[str, Any]) -> None:
    extras, outputs = written["extras_require"], _outputs()
    assert outputs["iceprod-scanner-core"] == set(_asked(written["install_requires"]))
    assert outputs["iceprod-scanner"] == set(_asked(extras["server"])) | set(_asked(extras["scanner"]))
    assert outputs["iceprod-scanner-grid"] == set(_asked(extras["grid"]))


def test_the_conda_recipe_has_our_version_and_command(written: dict[str, Any]) -> None:
    [core, *_] = rattler_build.MultiOutputRecipe.from_file(str(RECIPE)).render()
    assert core.recipe.package.version == written["version"]
    text = RECIPE.read_text()
    for command in written["entry_points"]["console_scripts"]:
        assert f"- {command}\n" in text
    assert f"python {written['python_requires']}" in text


def test_what_is_installed_is_what_setup_says(written: dict[str, Any]) -> None:
    """Else the other tests here would look at an older version."""
    here = {str(Requirement(line.partition(";")[0])) for line in requires(PRODUCT) or ()}
    extras = [line for lines in written["extras_require"].values() for line in lines]
    assert here == {str(Requirement(line)) for line in [*written["install_requires"], *extras]}


def test_changes_can_be_put_together(written: dict[str, Any]) -> None:
    """Every file in changes/ is of a known kind, and none is empty."""
    fragments = [path for path in (ROOT / "changes").iterdir() if path.name != "README.md"]
    words = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", written["version"]]
    told = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for path in fragments:
        text = " ".join(path.read_text().split())
        assert text, path
        assert text in " ".join(told.split()), f"{path} is of no kind that pyproject.toml names"
    assert told.splitlines()[0].startswith(f"## {written['version']} (")


def test_checksums_are_those_of_the_files(tmp_path: Path) -> None:
    for name in ("b.whl", "a.tar.gz"):
        (tmp_path / name).write_text(name)
    dist.checksums(tmp_path)
    lines = dist.checksums(tmp_path).read_text().splitlines()  # made anew, and not of itself
    assert lines == [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}" for name in ("a.tar.gz", "b.whl")]


def test_only_folders_of_releases_are_emptied(tmp_path: Path) -> None:
    for name in ("iceprod_scanner-0.1.0.tar.gz", "SHA256SUMS"):
        (tmp_path / name).write_text("old")
    dist.empty(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "thesis.tex").write_text("mine")
    (tmp_path / "SHA256SUMS").write_text("old")
    with pytest.raises(SystemExit, match="it has thesis"):
        dist.empty(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
