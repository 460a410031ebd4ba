"""``iceprod bench``: how fast the parts are, here."""

from __future__ import annotations

import subprocess
import sys

import click

from iceprod.cli.common.errors import USAGE, CommandError

__all__ = ["BENCHES", "bench"]

BENCHES: dict[str, tuple[str, list[str]]] = {
    "reco": ("scanner.bench", ["reco"]),
    "scan": ("scanner.bench", ["scan"]),
    "event": ("scanner.bench", ["event"]),
    "coverage": ("scanner.coverage", []),
    "accuracy": ("scanner.accuracy", []),
    "choices": ("scanner.choices", []),
    "store": ("server.embedded", ["bench"]),
    "api": ("server.production.bench", []),
    "load": ("server.production.load", []),
    "desk": ("server.desk.bench", []),
    "imports": ("server.desk.bench_imports", []),
    "alert": ("server.alerts.bench", []),
    "tasks": ("grid.bench", []),
    "pilots": ("grid.bench_pilots", []),
    "start": ("grid.bench_start", []),
    "grid": ("grid.condor.bench", []),
}
"""Each with the module that measures, run as a program of its own, and the arguments that choose in it."""


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(name: str | None, arguments: tuple[str, ...]) -> int:
    """Measure NAME, one of those that it lists without a name.

    `iceprod bench NAME --help` tells the options of each.
    """
    if name in (None, "-h", "--help"):
        print(f"Usage: iceprod bench NAME [OPTIONS]\n\n  Measure one of: {', '.join(BENCHES)}.\n"
              "  `iceprod bench NAME --help` tells the options of each; --json prints one JSON object.")
        return 0
    if name not in BENCHES:
        raise CommandError(f"unknown benchmark {name!r}; known: {', '.join(BENCHES)}", USAGE)
    module, chosen = BENCHES[name]
    return subprocess.run([sys.executable, "-m", module, *chosen, *arguments], check=False).returncode
