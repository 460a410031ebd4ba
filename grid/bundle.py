"""The pilot as one file that any Python 3.9 or later runs: a zip with what it needs and nothing else.

``python -m grid.bundle iceprod-pilot.pyz`` writes it; equal sources make equal files.
"""

from __future__ import annotations

import io
import os
import sys
import zipfile
from importlib import resources
from pathlib import Path

__all__ = ["MODULES", "build"]

MODULES = {"grid": ["__init__.py"], "grid.guarding": None, "grid.moving": None, "grid.pilot": None,
           "iceprod": ["__init__.py", "addresses.py", "transport.py"],
           "iceprod.batch": ["__init__.py", "devices.py"],
           "iceprod.processes": ["__init__.py", "launch.py"], "iceprod.walls": None,
           "iceprod.tracing": ["__init__.py", "recording.py", "spans.py", "traces.py"]}
"""What goes in: of each package these files, or all modules."""

_MAIN = """import sys

if sys.version_info < (3, 9):
    told = sys.executable, sys.version.split()[0]
    sys.stderr.write("a pilot needs Python 3.9 or newer, and %s is %s\\n" % told)
    sys.exit(78)

from grid.pilot.main import main

sys.exit(main())
"""
_INTERPRETER = b"#!/usr/bin/env python3\n"
_TIME = (1980, 1, 1, 0, 0, 0)  # equal content makes equal files


def build(path: Path) -> Path:
    """Write the executable file; the path."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py", _TIME), _MAIN)
        for package, names in MODULES.items():
            folder = resources.files(package)
            for name in names or sorted(item.name for item in folder.iterdir() if item.name.endswith(".py")):
                entry = zipfile.ZipInfo(f"{package.replace('.', '/')}/{name}", _TIME)
                archive.writestr(entry, folder.joinpath(name).read_bytes())
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_bytes(_INTERPRETER + content.getvalue())
    partial.chmod(0o755)
    partial.replace(path)
    return path


if __name__ == "__main__":
    print(build(Path(sys.argv[1])).resolve())
