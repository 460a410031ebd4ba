"""The commands ``iceprod pilot`` and ``iceprod grid``."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import msgspec

from config.settings import load
from grid import daemon
from grid.condor import cli as condor
from grid.condor.site import is_site_file
from grid.pilot import main as pilot_main
from grid.pilot.options import means_from
from grid.rehearsal import CannotRehearse, Rehearsal
from iceprod.cli.common.errors import FAILED, USAGE, CommandError
from iceprod.cli.common.files import read_document
from iceprod.cli.common.findings import checked
from iceprod.cli.common.passing import Passing

__all__ = ["grid", "pilot", "run"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(cls=Passing, parser=pilot_main.make_parser)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def pilot(arguments: tuple[str, ...]) -> int:
    """Lease tasks from a server and run them here."""
    return pilot_main.main(list(arguments))


@click.command()
@click.argument("config", metavar="CONFIG.json|yaml", type=_FILE)
@click.option("--job", type=click.IntRange(0), default=0, show_default=True, help="Which job.")
@click.option("--task", "name", metavar="NAME", default="", help="This task only [all, one after another].")
@click.option("--jobs", type=click.IntRange(1), help="How many jobs the dataset would have.")
@click.option("--dataset", type=click.IntRange(0), default=0, help="The number the dataset would have.")
@click.option("--print", "only_print", is_flag=True,
              help="Show command lines, environment and files; run nothing.")
@click.option("--dir", "directory", type=click.Path(file_okay=False, path_type=Path),
              help="Where to work; stays [a scratch directory, removed when all is good].")
@click.option("--transfer", "transfers", multiple=True, metavar="SCHEME=COMMAND",
              help="How to move files of a scheme, as a pilot's.")
@click.option("--temp", default="", metavar="URL", help="Where temporary data lie [in the directory].")
@click.option("--gpu", "gpus", multiple=True, metavar="NAME", help="A GPU for tasks that need one.")
@click.option("--store", is_flag=True, help="Send outputs to where they belong [they stay in the directory].")
@click.option("--lenient", is_flag=True, help="Only warn of what may not do what was meant.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def run(config: Path, job: int, name: str, jobs: int | None, dataset: int, only_print: bool,
        directory: Path | None, transfers: tuple[str, ...], temp: str, gpus: tuple[str, ...], store: bool,
        lenient: bool, as_json: bool) -> int:
    """Rehearse one job of CONFIG here, with the pilot's own code, before it is submitted.

    Exit status 0: all tasks did their work, 1: one failed, 2: the configuration cannot be run.
    """
    document = read_document(config)
    jobs = jobs or job + 1
    checked(config, document, jobs, lenient=lenient)
    try:
        means = means_from(list(transfers), temp)
    except ValueError as error:
        raise click.UsageError(f"--transfer: {error}") from None
    scratch = directory or Path(tempfile.mkdtemp(prefix="iceprod-run-"))
    scratch.mkdir(parents=True, exist_ok=True)
    rehearsal = Rehearsal(document, scratch.resolve(), job, jobs, dataset, means, store, gpus,
                          _say_aside if as_json else _say)
    good = False
    try:
        if only_print:
            _tell(list(rehearsal.plan(name)), as_json)
            good = True
        else:
            good = rehearsal.run(name)
    except CannotRehearse as error:
        raise CommandError(str(error), USAGE) from None
    finally:
        if directory is None and (good or only_print):
            shutil.rmtree(scratch, ignore_errors=True)
        elif not (only_print or as_json):
            print(f"its files are in {scratch}")
    if as_json and not only_print:
        stays = directory is not None or not good
        print(json.dumps({"good": good, "directory": str(scratch) if stays else "", "tasks": rehearsal.done}))
    return 0 if good else FAILED


def _say(text: str) -> None:
    print(text, flush=True)


def _say_aside(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _tell(plan: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"tasks": plan}))
        return
    for task in plan:
        needs = ", ".join(f"{name} {value}" for name, value in task["requirements"].items())
        print(f"== {task['task']}  ({needs})" + (f" in {task['container']}" if task["container"] else ""))
        for item in task["files"]:
            arrow, maybe = _ARROWS[item["movement"]], " (if it exists)" if item["maybe"] else ""
            print(f"   {item['local']} {arrow} {item['remote']}{maybe}")
        for command in task["commands"]:
            print(f"-- {command['name']}")
            for variable, value in sorted(command["environment"].items()):
                print(f"   {variable}={shlex.quote(value)}")
            for name, text in command["files"].items():
                body = text if isinstance(text, str) else json.dumps(text, indent=1)
                print(f"   file {name}:\n" + "\n".join(f"   | {line}" for line in body.splitlines()))
            print(f"   $ {shlex.join(command['argv'])}")


_ARROWS = {"input": "<-", "output": "->", "both": "<->"}


@click.group(invoke_without_command=True)
@click.option("--server", metavar="URL", help="The server's address.")
@click.option("--token-file", type=_FILE, help="Holds the grid's own token (role system).")
@click.option("--pilot-token-file", type=_FILE, help="Holds the pilots' token (role pilot).")
@click.option("--data", help="Directory of the installation; the pilots' logs go below it.")
@click.option("--pilots", type=click.IntRange(0), help="How many pilots to keep.")
@click.option("--config", type=_FILE, help="YAML file: of an HTCondor site, else with settings.")
@click.option("--dry-run", is_flag=True, help="Print what the site's grid would do now, and why.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print one JSON object.")
@click.pass_context
def grid(ctx: click.Context, server: str | None, token_file: Path | None, pilot_token_file: Path | None,
         data: str | None, pilots: int | None, config: Path | None, dry_run: bool, as_json: bool) -> int:
    """Keep pilots running: on an HTCondor pool, or on this machine.

    `iceprod grid --config site.yaml` serves the HTCondor access point that the site file describes.
    The commands below are for administrators of the server.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run: a grid runs until it is stopped")
    if config is not None and is_site_file(config):
        return condor.dry_run(config, as_json=as_json) if dry_run else condor.run_site(config)
    if dry_run:
        raise click.UsageError("--dry-run needs a site file: --config site.yaml")
    if server is None or token_file is None or pilot_token_file is None:
        raise click.UsageError("give a site file with --config, or --server, --token-file and "
                               "--pilot-token-file for pilots on this machine")
    settings = load(config)
    count = settings.pilots.count if pilots is None else pilots
    settings = msgspec.structs.replace(settings, data=data or settings.data,
                                       pilots=msgspec.structs.replace(settings.pilots, count=count))
    daemon.run(settings, server, token_file, pilot_token_file, config)
    return 0


for _command in condor.COMMANDS:
    grid.add_command(_command)
