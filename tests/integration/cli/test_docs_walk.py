"""The server's and a site's installation, walked as the pages say, on system folders of our own."""

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

_HEADS = {"docs/operate.md": "## As services", "docs/admin.md": "## A site in ten minutes"}
_SUDO = """#!/bin/sh
if [ "$1" = -u ]; then
  user=$2; shift 2
  exec setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups env HOME=/ "$@"
fi
exec "$@"
"""
_SYSTEMCTL = """#!/bin/sh
# enable --now NAME: start what the unit says, as its user, in the folders that systemd would make
name=$3; case $name in *@*) file=${name%%@*}@; instance=${name#*@};; *) file=$name; instance=;; esac
unit=/etc/systemd/system/$file.service
read_unit() { sed -n "s/^$1=//p" "$unit" | sed "s/%i/$instance/g"; }
user=$(read_unit User)
install -d -m "$(read_unit StateDirectoryMode)" -o "$user" "/var/lib/$(read_unit StateDirectory)"
setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups env HOME=/ $(read_unit ExecStart) \
  > "$LOGS/$name.log" 2>&1 &
echo $! > "$LOGS/$name.pid"
"""
_MOUNTS = """
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


def commands(page: str) -> list[str]:
    """What is typed in the section of a page, in its order."""
    section = (REPOSITORY / page).read_text().split(_HEADS[page] + "\n", 1)[1].split("\n## ", 1)[0]
    return [line[2:] for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL)
            for line in block.splitlines() if line.startswith("$ ")]


def site_file() -> str:
    section = (REPOSITORY / "docs/admin.md").read_text().split(_HEADS["docs/admin.md"], 1)[1]
    return section.split("```yaml\n", 1)[1].split("```", 1)[0].replace(
        "https://iceprod.example.org", "http://127.0.0.1:8080")


def as_walked(line: str) -> str:
    """A line as it is; but that the program comes from here, and not from the network."""
    if "bin/pip install" not in line:
        return line
    packages = f"{REPOSITORY}\n{sysconfig.get_paths()['purelib']}\n"
    program = "#!/opt/iceprod/bin/python\nfrom iceprod.cli.main import main\nraise SystemExit(main())\n"
    return (f"printf '{packages}' > $(echo /opt/iceprod/lib/python3*/site-packages)/here.pth\n"
            f"printf '{program}' > /opt/iceprod/bin/iceprod && chmod 755 /opt/iceprod/bin/iceprod")


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """What stands for sudo and systemd on the path."""
    needed = all(map(shutil.which, ("unshare", "setpriv", "useradd", "curl")))
    probe = ["unshare", "-mnp", "--fork", "true"]
    if os.geteuid() or not needed or subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("needs root, and namespaces of its own")
    folder = tmp_path / "tools"
    folder.mkdir()
    python = f"#!/bin/sh\nexec {Path(sys.executable).resolve()} \"$@\"\n"
    for name, text in (("sudo", _SUDO), ("systemctl", _SYSTEMCTL), ("python3", python)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def test_server_and_site_as_the_pages_say(tools: Path, tmp_path: Path) -> None:
    """Every line ends well; the server answers, and the grid's service starts and says what it misses."""
    made = {line for line in commands("docs/operate.md") if "cp " not in line and "systemctl" not in line}
    again = [line for line in commands("docs/admin.md") if line not in made and "pip install" not in line
             and "venv" not in line]
    assert sum("pip install '.[grid]'" in line for line in commands("docs/admin.md")) == 1
    dry = next(line for line in again if "--dry-run" in line)
    again[again.index(dry)] = f"{{ {dry} > $LOGS/dry 2>&1 || true; }}"
    wait = ("for n in $(seq 40); do /opt/iceprod/bin/python -c 'import urllib.request as u; "
            "u.urlopen(\"http://127.0.0.1:8080/healthz\")' 2> /dev/null && break; sleep 1; done")
    lines = [*map(as_walked, commands("docs/operate.md")), wait, *again,
             "sleep 3",
             "curl -sf http://127.0.0.1:8080/healthz > $LOGS/health || cp $LOGS/*.log $LOGS/health",
             "stat -c '%U %a %n' /etc/iceprod /etc/iceprod/* /var/lib/iceprod/* > $LOGS/owners",
             "for pid in $LOGS/*.pid; do kill $(cat $pid) || true; done; sleep 2"]
    logs, over, home = (tmp_path / name for name in ("logs", "over", "home"))
    for folder in (logs, over, home):
        folder.mkdir()
    (home / "mysite.yaml").write_text(site_file())
    (home / "docs").symlink_to(REPOSITORY / "docs")
    tmp_path.chmod(0o755)
    script = _MOUNTS + "cd $WALK\n" + "\n".join(f"echo '+' {line.split()[0]}; {line}" for line in lines)
    done = subprocess.run(
        ["unshare", "-mnp", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script], check=False,
        capture_output=True, text=True, timeout=280,
        env={"PATH": f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin", "LOGS": str(logs), "OVER": str(over),
             "WALK": str(home), "LANG": "C.UTF-8"})
    told = {path.name: path.read_text(errors="replace")[-2000:] for path in logs.iterdir()}
    assert done.returncode == 0, (done.stdout, done.stderr[-3000:], told)
    assert "ok" in told["health"], told
    owners = dict(reversed(line.split(" ", 2)[::2]) for line in told["owners"].splitlines())
    assert owners["/etc/iceprod/token"] == owners["/var/lib/iceprod/mysite"] == "iceprod"
    assert "iceprod 600 /etc/iceprod/token" in told["owners"]
    for text in (told["dry"], told["iceprod-grid@mysite.log"]):
        assert "Traceback" not in text
        assert "HTCondor" in text or "schedd" in text or "htcondor" in text, told
