"""``iceprod bench``: how fast the parts are, here."""

from __future__ import annotations

import json
import subprocess
import sys

import click

from iceprod.cli.common.errors import FAILED, USAGE, CommandError

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


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in BENCHES if name.startswith(incomplete)]


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("name", required=False, shell_complete=_names)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; without NAME the names.")
def bench(name: str | None, arguments: tuple[str, ...], as_json: bool) -> int:
    """Measure NAME, one of those that it lists without a name.

    `iceprod bench NAME --help` tells the options of each.
    """
    if name is None and as_json:
        print(json.dumps({"benches": list(BENCHES)}))
        return 0
    if name in (None, "-h", "--help"):
        print(f"Usage: iceprod bench NAME [OPTIONS]\n\n  Measure one of: {', '.join(BENCHES)}.\n"
              "  `iceprod bench NAME --help` tells the options of each; --json prints one JSON object.")
        return 0
    if name not in BENCHES:
        raise CommandError(f"unknown benchmark {name!r}; known: {', '.join(BENCHES)}", USAGE)
    module, chosen = BENCHES[name]
    words = [sys.executable, "-m", module, *chosen, *arguments]
    return _as_object(name, words) if as_json else subprocess.run(words, check=False).returncode


def _as_object(name: str, words: list[str]) -> int:
    """Measure, and print the object that comes of it. Raises CommandError where there is none."""
    done = subprocess.run([*words, "--json"], check=False, stdout=subprocess.PIPE)
    try:
        print(json.dumps(json.loads(done.stdout)))
    except ValueError:
        raise CommandError(f"the benchmark {name} measured nothing; what it said stands above",
                           done.returncode or FAILED) from None
    return done.returncode
