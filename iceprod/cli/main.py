"""The ``iceprod`` command itself: finds subcommands, and turns every error into one line and an exit status.

Exit status: 0 done, 1 the work failed, 2 usage or bad input, 3 the server cannot be reached, 130 interrupted.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

import click

from config.settings import SettingsError
from iceprod.cli.common.errors import FAILED, UNREACHABLE, USAGE, CommandError
from iceprod.cli.common.screen import guarded
from iceprod.client import ClientError, Refused, Unreachable
from iceprod.supervisor import StartError

__all__ = ["iceprod", "main"]

_OURS = {name: f"iceprod.cli.{module}:{name}" for name, module in {
    "up": "house.up", "down": "house.down", "web": "house.web",
    "status": "house.status", "token": "house.token",
    "scan": "sky.scan", "watch": "sky.watch", "abort": "sky.watch", "submit": "work.submit",
    "demo": "house.demo", "skymap": "sky.skymap", "why": "work.why", "logs": "work.logs",
    "sites": "work.places", "pilots": "work.places", "show": "work.datasets", "tasks": "work.datasets",
    "bench": "house.bench", "schedule": "work.schedule", "suspend": "work.control",
    "resume": "work.control", "reset": "work.control", "wait": "work.wait", "scans": "sky.scans",
    "completion": "completion", "rescan": "sky.again", "workers": "sky.again",
    "backlog": "sky.backlog", "credentials": "work.credentials", "replay": "sky.replay",
    "notify": "work.notify"}.items()}
_OURS["list"] = "iceprod.cli.work.datasets:list_datasets"
_GROUP = "iceprod.commands"
_INTERRUPTED = 130


class Commands(click.Group):
    """Subcommands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_OURS, *_elsewhere()})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in _OURS:
            module, _, attribute = _OURS[name].partition(":")
            return getattr(import_module(module), attribute)
        entry = _elsewhere().get(name)
        return entry.load() if entry else None

    def resolve_command(self, ctx: click.Context,
                        args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see `iceprod --help`."
            raise click.UsageError(f"no such command {name!r}; {hint}")
        return super().resolve_command(ctx, args)


def _elsewhere() -> dict[str, EntryPoint]:
    """Commands that live beside what they run, in other packages."""
    return {entry.name: entry for entry in entry_points(group=_GROUP)}


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.command(cls=Commands, context_settings=_CONTEXT)
def iceprod() -> None:
    """Run physics workloads and scan the sky for the origin of a neutrino.

    Start everything on this machine with `iceprod up`, then scan an event with `iceprod scan EVENT.json`.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status. With ``--json`` an error is an object on standard output, too."""
    with guarded():
        return _run(arguments)


def _run(arguments: list[str] | None) -> int:
    def say(text: str, status: int) -> int:
        return _tell(text, status, as_json="--json" in (sys.argv[1:] if arguments is None else arguments))

    try:
        result = iceprod.main(arguments, prog_name="iceprod", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except BrokenPipeError:  # the reader of our output had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return USAGE
    except click.ClickException as error:
        return say(_usage(error), USAGE)
    except CommandError as error:
        return say(str(error), error.status)
    except SettingsError as error:
        return say(str(error), USAGE)
    except StartError as error:
        return say(str(error), FAILED)
    except Unreachable as error:
        return say(f"{error}; is it running? `iceprod up` starts one on this machine", UNREACHABLE)
    except Refused as error:
        return say(error.reason, USAGE if error.status < 500 else FAILED)
    except ClientError as error:
        return say(str(error), USAGE)


def _tell(text: str, status: int, *, as_json: bool) -> int:
    print(f"error: {text}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": text, "exit_status": status}), flush=True)
    return status


def _usage(error: click.ClickException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    return f"{message} (see `{context.command_path} --help`)" if context else message
