"""A machine of a test's own: namespaces with folders of the system that lie over ours, and vanish with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.api import REPOSITORY

__all__ = ["MOUNTS", "as_walked", "commands", "made_tools", "site_file"]

_HEADS = {"docs/operate.md": "## As services", "docs/admin.md": "## A site in ten minutes"}
"""The sections that install something."""
_SUDO = """#!/bin/sh
if [ "$1" = -u ]; then
  user=$2; shift 2
  exec setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups env HOME=/ "$@"
fi
exec "$@"
"""
MOUNTS = """
set -e
for folder in etc opt var root; do
  mkdir -p "$OVER/$folder/upper" "$OVER/$folder/work"
  own="$OVER/$folder"
  mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$own/upper,workdir=$own/work" "/$folder"
done
chmod 755 /root  # where Python may be
python3 - <<'EOF'
import fcntl, socket, struct
with socket.socket() as one:
    fcntl.ioctl(one, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: lo is up
EOF
"""
"""For `unshare -mn sh -c`: system folders over ours, whose changes go to $OVER; and a loopback interface."""


def as_walked(line: str) -> str:
    """A line as it is; but that the program comes from here, and not from the network."""
    if "bin/pip install" not in line:
        return line
    packages = f"{REPOSITORY}\n{sysconfig.get_paths()['purelib']}\n"
    program = "#!/opt/iceprod/bin/python\nfrom iceprod.cli.main import main\nraise SystemExit(main())\n"
    return (f"printf '{packages}' > $(echo /opt/iceprod/lib/python3*/site-packages)/here.pth\n"
            f"printf '{program}' > /opt/iceprod/bin/iceprod && chmod 755 /opt/iceprod/bin/iceprod")


def commands(page: str) -> list[str]:
    """What is typed in the section of a page, in its order."""
    section = (REPOSITORY / page).read_text().split(_HEADS[page] + "\n", 1)[1].split("\n## ", 1)[0]
    return [line[2:] for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL)
            for line in block.splitlines() if line.startswith("$ ")]


def site_file() -> str:
    """The site's file of the page, for a server on this machine."""
    section = (REPOSITORY / "docs/admin.md").read_text().split(_HEADS["docs/admin.md"], 1)[1]
    return section.split("```yaml\n", 1)[1].split("```", 1)[0].replace(
        "https://iceprod.example.org", "http://127.0.0.1:8080")


def made_tools(folder: Path, **programs: str) -> Path:
    """A folder for the path with `sudo`, our `python3`, and more shell scripts; skips without namespaces."""
    needed = all(map(shutil.which, ("unshare", "setpriv", "useradd", "curl")))
    probe = ["unshare", "-mnp", "--fork", "true"]
    if os.geteuid() or not needed or subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("needs root, and namespaces of its own")
    tools = folder / "tools"
    tools.mkdir()
    python = f"#!/bin/sh\nexec {Path(sys.executable).resolve()} \"$@\"\n"
    for name, text in ({"sudo": _SUDO, "python3": python} | programs).items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    return tools
