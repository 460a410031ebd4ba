"""Writes the program's recent commits into the package while it is built: ``python server/desk/gitlog.py``.

Needs the standard library alone, since a build has nothing else.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["parse", "write"]

FORMAT = "%cI%x1f%h%x1f%ae%x1f%an%x1f%s"
MOST = 300
HERE = Path(__file__).resolve()


def parse(text: str, repository: str = "") -> list[dict[str, Any]]:
    """Commits from git's output in FORMAT, one a line; `repository` is a web address, for links."""
    commits = []
    for line in text.splitlines():
        time, sha, email, name, description = line.split("\x1f", 4)
        request = re.search(r"\(#(\d+)\)$", description)
        commits.append({
            "time": time, "sha": sha, "email": email, "name": name, "description": description,
            "pr_nr": request.group(1) if request else None,
            "pr_url": f"{repository}/pull/{request.group(1)}" if request and repository else None,
            "commit_url": f"{repository}/commit/{sha}" if repository else None})
    return commits


def write(repository: str = "") -> None:
    """Write ``gitlog.json`` beside this file; nothing where there is no git."""
    command = ["git", "log", "--no-merges", f"-{MOST}", f"--format={FORMAT}"]
    try:
        done = subprocess.run(command, cwd=HERE.parents[2], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return
    HERE.with_name("gitlog.json").write_text(json.dumps(parse(done.stdout, repository)), encoding="utf8")


if __name__ == "__main__":
    write()
