"""``python -m tools.dist FOLDER``: everything of a release, for ``make dist``.

The source archive comes first, and all else is built from it, so what it lacks nothing else has:

- a wheel for any machine;
- where fits were compiled ahead (``python -m scanner.recos.building --package``), one with them for this kind
  of machine, which pip prefers where it fits;
- the pilot as one file;
- ``sbom.cdx.json``: what an installation with all extras is made of (CycloneDX);
- ``SHA256SUMS``.

Wheels of equal sources are equal to the byte: their files bear the time of the last commit.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from grid.bundle import build

__all__ = ["bill", "checksums", "describe", "empty", "main", "pack", "wheel"]

ROOT = Path(__file__).parents[1]
CONSTRAINTS, DESCRIBER = ROOT / "constraints.txt", Path(__file__).with_name("sbom.txt")
COMPILED = Path("scanner/machine/built")
OURS = ("*.tar.gz", "*.whl", "iceprod-pilot.pyz", "sbom.cdx.json", "SHA256SUMS")


def main(folder: Path) -> int:
    """Fill an empty or missing folder; what was there of an earlier release is removed."""
    empty(folder)
    source = pack(folder)
    portable = wheel(source, folder)
    if any((ROOT / COMPILED).glob("*")):
        wheel(source, folder, ROOT / COMPILED)
    build(folder / "iceprod-pilot.pyz")
    bill(portable, folder / "sbom.cdx.json")
    print(checksums(folder).read_text(), end="")
    return 0


def empty(folder: Path) -> None:
    """Make the folder, without what was there of a release; one that has anything else keeps all of it."""
    folder.mkdir(parents=True, exist_ok=True)
    found = list(folder.iterdir())
    if others := sorted(path.name for path in found if not any(map(path.match, OURS))):
        raise SystemExit(f"{folder} is no folder of a release: it has {', '.join(others[:5])}; name another "
                         "one, for all in it would be removed")
    for path in found:
        path.unlink()


def pack(folder: Path) -> Path:
    """The source archive of this tree."""
    _run(sys.executable, "-m", "build", "--sdist", "--outdir", folder, ROOT)
    return next(folder.glob("*.tar.gz"))


def wheel(source: Path, folder: Path, compiled: Path | None = None) -> Path:
    """A wheel from a source archive, with the fits that were compiled ahead where they are given."""
    before = set(folder.glob("*.whl"))
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(source) as archive:
            archive.extractall(scratch, filter="data")
        tree, = Path(scratch).iterdir()
        if compiled is not None:
            shutil.copytree(compiled, tree / COMPILED)
        _run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, tree)
    made, = set(folder.glob("*.whl")) - before
    return made


def bill(wheel: Path, target: Path) -> Path:
    """Write what the wheel brings with all extras, in the versions of `constraints.txt`."""
    with tempfile.TemporaryDirectory() as scratch:
        python = _environment(Path(scratch), "--constraint", CONSTRAINTS, f"{wheel.absolute()}[all]")
        return describe(python, target)


def describe(python: Path, target: Path) -> Path:
    """Write what is installed for this Python."""
    with tempfile.TemporaryDirectory() as scratch:
        describer = _environment(Path(scratch), "--requirement", DESCRIBER)
        _run(describer, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--output-file", target,
             python)
    return target


def _environment(folder: Path, *what: str | Path) -> Path:
    """A new environment in which pip installed this; its Python."""
    python = folder / "bin" / "python"
    _run(sys.executable, "-m", "venv", "--without-pip", folder)
    _run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile", *what)
    return python


def checksums(folder: Path) -> Path:
    """Write SHA-256 of all files, as ``sha256sum --check`` reads it."""
    files = sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    target = folder / "SHA256SUMS"
    target.write_text("".join(lines))
    return target


def _run(*words: str | Path) -> None:
    """Run a program; what it prints is told when it fails."""
    done = subprocess.run([str(word) for word in words], check=False, capture_output=True, text=True,
                          env={**os.environ, **_time_of_last_commit()})
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))} ended with {done.returncode}:\n"
                         f"{done.stdout[-2000:]}{done.stderr[-4000:]}")


def _time_of_last_commit() -> dict[str, str]:
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=False, capture_output=True,
                          text=True)
    return {"SOURCE_DATE_EPOCH": done.stdout.strip()} if done.returncode == 0 else {}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
