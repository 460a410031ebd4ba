"""What starting a command costs: which modules it imports. Counted, not timed."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from iceprod.cli.commands import ELSEWHERE, OURS
from iceprod.cli.main import iceprod

HEAVY = {"numpy", "numba", "llvmlite", "scipy", "astropy", "astropy_healpix", "healpy", "matplotlib",
         "tornado", "pymongo", "cryptography"}
COMMANDS = ["status", "list", "show", "tasks", "scans", "watch", "why", "logs", "skymap", "sites", "pilots",
            "bench"]


def _imported(*arguments: str) -> set[str]:
    asked = ("import sys\nfrom iceprod.cli.main import main\n"
             f"main({list(arguments)!r})\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))")
    told = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True)
    return set(told.stdout.splitlines()[-1].split())


def test_the_list_of_commands_imports_none_of_them() -> None:
    names = _imported("--help")
    assert not names & (HEAVY | {"rich", "yaml", "msgspec", "server", "scanner", "grid"})


@pytest.mark.parametrize("command", COMMANDS)
def test_a_client_command_imports_nothing_that_computes(command: str) -> None:
    assert not _imported(command, "--help") & (HEAVY - {"cryptography"})


def test_lines_are_what_the_commands_say() -> None:
    context = click.Context(iceprod)
    lines = {**{name: listed.line for name, listed in OURS.items()}, **ELSEWHERE}
    for name in iceprod.list_commands(context):
        command = iceprod.get_command(context, name)
        assert command is not None
        assert lines.get(name) == " ".join((command.help or "").split("\n\n")[0].split()), name


def test_a_server_starts_without_what_only_draws() -> None:
    """They cost more than all the rest, and many a server never draws."""
    asked = "import sys, server.app\nprint(*sorted(sys.modules))"
    told = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True)
    names = set(told.stdout.split())
    assert not names & {"matplotlib", "scipy", "pytest", "astropy.cosmology", "astropy.wcs", "numba"}
