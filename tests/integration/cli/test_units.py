"""The units of docs/systemd, started by a systemd of the test's own, which denies them what they say."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.machine import MOUNTS, as_walked, commands, made_tools, site_file
from tests.support.api import REPOSITORY

pytestmark = pytest.mark.slow

SYSTEMD = "/lib/systemd/systemd"
_TARGETS = ("sysinit", "basic", "shutdown", "network-online", "multi-user", "timers", "walk")
_BOOT = MOUNTS + f"""
chmod 755 "$OVER"
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /etc/systemd/system
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/systemd/system /run/stubs
for name in $TARGETS; do printf '[Unit]\\nDefaultDependencies=no\\n' > /run/stubs/$name.target; done
echo Wants=walk.service >> /run/stubs/walk.target
cat > /run/stubs/walk.service <<EOF
[Unit]
DefaultDependencies=no
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
Environment=PATH=$PATH LOGS=$LOGS WALK=$WALK LANG=C.UTF-8
ExecStart=/bin/sh -ex $WALK/walk
StandardOutput=file:$LOGS/walk
StandardError=file:$LOGS/walk
EOF
# No units of this machine, whose own are none of a test's business.
exec env container=test SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/stubs SYSTEMD_LOG_TARGET=console \\
  {SYSTEMD} --system --unit=walk.target --show-status=no
"""
_HERE = f"""[Service]
WatchdogSec=15
ProtectHome=tmpfs
BindReadOnlyPaths={REPOSITORY} {sysconfig.get_paths()["purelib"]} {sys.base_prefix}
"""
"""The program of this test is that of a checkout, which may lie in a home or in /tmp."""
_HEALTHY = """
for n in $(seq 60); do curl -sf http://127.0.0.1:8080/healthz > $LOGS/health && break; sleep 1; done
test -s $LOGS/health
"""
_WALK = f"""
main() {{ systemctl show -P MainPID iceprod-server; }}
inside() {{ nsenter -t "$(main)" -m "$@"; }}
{_HEALTHY}
systemctl is-active iceprod-server
systemctl show iceprod-server > $LOGS/shown

# what the unit denies
tr '\\0' '\\n' < /proc/$(main)/status | grep -E '^(Uid|NoNewPrivs|Seccomp|CapBnd):' > $LOGS/denied
for place in /usr /etc /var/lib /var/lib/iceprod /var/lib/iceprod/server; do
  inside touch $place/new >> $LOGS/inside 2>&1 || true
done

# new settings are read while it is active
systemctl reload iceprod-server
sleep 1
rm $LOGS/health
{_HEALTHY}
systemctl is-active iceprod-server

# what was killed comes again
before=$(main)
kill -9 $before
for n in $(seq 60); do now=$(main); test $now != 0 && test $now != $before && break; sleep 1; done
rm $LOGS/health
{_HEALTHY}
test "$(main)" != $before

# and what hangs
before=$(main)
kill -STOP $before
for n in $(seq 60); do now=$(main); test $now != 0 && test $now != $before && break; sleep 1; done
rm $LOGS/health
{_HEALTHY}
test "$(main)" != $before

# a backup, and when there is the next
cp docs/systemd/iceprod-backup.* /etc/systemd/system/
mkdir /etc/systemd/system/iceprod-backup.service.d
cp here.conf /etc/systemd/system/iceprod-backup.service.d/
systemctl daemon-reload
systemctl start iceprod-backup
ls /var/lib/iceprod/backup/*/ > $LOGS/backup
systemctl enable --now iceprod-backup.timer
systemctl show -P NextElapseUSecRealtime iceprod-backup.timer > $LOGS/next

# an archive of what ended long ago, which is nothing yet
cp docs/systemd/iceprod-archive.* /etc/systemd/system/
mkdir /etc/systemd/system/iceprod-archive.service.d
cp here.conf /etc/systemd/system/iceprod-archive.service.d/
systemctl daemon-reload
systemctl start iceprod-archive
systemctl show -P Result iceprod-archive > $LOGS/archived

# a grid, for which there is no HTCondor here: it says so, and is started again and again
token=/etc/iceprod/token
sudo -u iceprod /opt/iceprod/bin/iceprod token --data /var/lib/iceprod/server --user g --roles system > $token
chown iceprod $token
install -m 640 -o iceprod mysite.yaml /etc/iceprod/mysite.yaml
cp docs/systemd/iceprod-grid@.service /etc/systemd/system/
own=/etc/systemd/system/iceprod-grid@.service.d
mkdir $own
{{ cat here.conf; echo StandardError=file:$LOGS/grid; }} > $own/here.conf
systemctl daemon-reload
systemctl start iceprod-grid@mysite
for n in $(seq 60); do test -s $LOGS/grid && break; sleep 1; done
systemctl stop iceprod-grid@mysite

systemctl stop iceprod-server
systemctl show -P Result iceprod-server > $LOGS/stopped
"""


def _unified() -> Path | None:
    """Where groups of processes (cgroup v2) of this machine are."""
    lines = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return next((Path(at) for _, at, kind, *_ in lines if kind == "cgroup2"), None)


@contextlib.contextmanager
def _group() -> Iterator[Path]:
    """A group of its own for all processes of the test, which is gone afterwards."""
    above = _unified()
    if above is None or not os.access(above, os.W_OK) or not Path(SYSTEMD).exists():
        pytest.skip("no systemd, or no groups of processes (cgroup v2) for one of our own")
    here = above / f"iceprod-units-{os.getpid()}"
    here.mkdir()
    try:
        yield here
    finally:
        for folder, _, _ in os.walk(here, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def _boot(tools: Path, folder: Path) -> dict[str, str]:
    """Run `walk` of the folder under a systemd; what is in its logs."""
    logs, over = folder / "logs", folder / "over"
    for one in (logs, over):
        one.mkdir()
    environment = {"PATH": f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin", "LOGS": str(logs), "OVER": str(over),
                   "WALK": str(folder), "TARGETS": " ".join(_TARGETS), "LANG": "C.UTF-8"}
    with _group() as group:
        enter = (f"echo $$ > {group}/cgroup.procs; "
                 'exec unshare -mnpCui --fork --kill-child --mount-proc sh -c "$1"')
        done = subprocess.run(["sh", "-ec", enter, "sh", _BOOT], check=False, capture_output=True, text=True,
                              timeout=280, env=environment)
    told = {path.name: path.read_text(errors="replace") for path in logs.iterdir()}
    assert "stopped" in told, (done.stdout[-3000:], done.stderr[-3000:], told)
    return told


def test_the_units_run_as_systemd_starts_them(tmp_path: Path) -> None:
    tools = made_tools(tmp_path)
    typed = [as_walked(line) for line in commands("docs/operate.md")]
    start = next(n for n, line in enumerate(typed) if "systemctl enable --now iceprod-server" in line)
    own = "/etc/systemd/system/iceprod-server.service.d"
    typed.insert(start, f"mkdir {own} && cp here.conf {own}/")
    (tmp_path / "here.conf").write_text(_HERE)
    (tmp_path / "mysite.yaml").write_text(site_file())
    (tmp_path / "docs").symlink_to(REPOSITORY / "docs")
    (tmp_path / "walk").write_text("\n".join([f"cd {tmp_path}", *typed[:start + 2], _WALK]))
    tmp_path.chmod(0o755)
    told = _boot(tools, tmp_path)

    denied = dict(line.split(":", 1) for line in told["denied"].splitlines())
    assert denied["NoNewPrivs"].strip() == "1"
    assert denied["Seccomp"].strip() == "2"
    assert int(denied["CapBnd"], 16) == 0
    assert "0" not in denied["Uid"].split()
    refused = [line.split("'")[1] for line in told["inside"].splitlines() if "Read-only file system" in line]
    assert refused == ["/usr/new", "/etc/new", "/var/lib/new", "/var/lib/iceprod/new"]
    assert "backup.json" in told["backup"]
    assert told["next"].strip()
    assert told["archived"].strip() == "success"
    assert told["grid"].startswith("error: ")
    assert "schedd" in told["grid"] or "HTCondor" in told["grid"]
    assert "Traceback" not in told["grid"]
    assert told["stopped"].strip() == "success"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize(("unit", "exposure"), [("iceprod-server", 2.0), ("iceprod-backup", 2.0),
                                                ("iceprod-grid@", 5.0)])
def test_units_stay_as_closed_as_they_are(unit: str, exposure: float) -> None:
    """By systemd's own measure, from 0 (closed) to 10."""
    file = REPOSITORY / "docs" / "systemd" / f"{unit}.service"
    limit = f"--threshold={exposure * 10:.0f}"
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", limit, file],
                          check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-400:] + done.stderr
