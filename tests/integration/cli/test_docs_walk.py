"""The server's and a site's installation, walked as the pages say, on system folders of our own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.integration.cli.machine import MOUNTS, as_walked, commands, made_tools, site_file
from tests.support.api import REPOSITORY

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


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """What stands for sudo and systemd on the path."""
    return made_tools(tmp_path, systemctl=_SYSTEMCTL)


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
             "for n in $(seq 60); do test -s $LOGS/iceprod-grid@mysite.log && break; sleep 1; done; sleep 1",
             "curl -sf http://127.0.0.1:8080/healthz > $LOGS/health || cp $LOGS/*.log $LOGS/health",
             "stat -c '%U %a %n' /etc/iceprod /etc/iceprod/* /var/lib/iceprod/* > $LOGS/owners",
             "for pid in $LOGS/*.pid; do kill $(cat $pid) || true; done; sleep 2"]
    logs, over, home = (tmp_path / name for name in ("logs", "over", "home"))
    for folder in (logs, over, home):
        folder.mkdir()
    (home / "mysite.yaml").write_text(site_file())
    (home / "docs").symlink_to(REPOSITORY / "docs")
    tmp_path.chmod(0o755)
    script = MOUNTS + "cd $WALK\n" + "\n".join(f"echo '+' {line.split()[0]}; {line}" for line in lines)
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
