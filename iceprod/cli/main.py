"""The ``iceprod`` command itself: finds subcommands, and turns every error into one line and an exit status.

Exit status: 0 done, 1 the work failed, 2 usage or bad input, 3 the server cannot be reached, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from config.environment import SharedEnvironment, check_alone, remedy
from iceprod.cli.commands import ELSEWHERE, OURS
from iceprod.cli.common.errors import FAILED, UNREACHABLE, USAGE, CommandError
from iceprod.cli.common.screen import guarded
from iceprod.cli.common.traced import trace_of, traced

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["iceprod", "main"]

_GROUP = "iceprod.commands"
_INTERRUPTED = 130


class Commands(click.Group):
    """Subcommands are imported when they are used, and none of them to be listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*OURS, *_elsewhere()})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in OURS:
            return getattr(import_module(f"iceprod.cli.{OURS[name].module}"), OURS[name].attribute)
        entry = _elsewhere().get(name)
        return entry.load() if entry else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _Lines(self).format_commands(ctx, formatter)

    def resolve_command(self, ctx: click.Context,
                        args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            import difflib

            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see `iceprod --help`."
            raise click.UsageError(f"no such command {name!r}; {hint}")
        return super().resolve_command(ctx, args)


class _Lines(click.Group):
    """The commands as they are listed: a name and a line."""

    def __init__(self, commands: Commands) -> None:
        super().__init__()
        self._all = commands

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self._all.list_commands(ctx)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        line = OURS[name].line if name in OURS else ELSEWHERE.get(name)
        return click.Command(name, help=line) if line else self._all.get_command(ctx, name)


def _elsewhere() -> dict[str, EntryPoint]:
    """Commands that live beside what they run, in other packages."""
    from importlib.metadata import entry_points  # takes as long to import as all of click

    return {entry.name: entry for entry in entry_points(group=_GROUP)}


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.command(cls=Commands, context_settings=_CONTEXT)
@click.version_option(package_name="iceprod-scanner", prog_name="iceprod")
def iceprod() -> None:
    """Run physics workloads and scan the sky for the origin of a neutrino.

    Start everything on this machine with `iceprod up`, then scan an event with `iceprod scan EVENT.json`.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status. With ``--json`` an error is an object on standard output, too."""
    with guarded():
        return _run(sys.argv[1:] if arguments is None else arguments)


def _run(arguments: list[str]) -> int:
    def say(text: str, status: int, trace_id: str = "") -> int:
        return _tell(text, status, trace_id, as_json="--json" in arguments)

    try:
        check_alone()
        with traced(arguments):
            result = iceprod.main(arguments, prog_name="iceprod", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except BrokenPipeError:  # the reader of our output had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, click.Abort):
        return say("", _INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return USAGE
    except click.ClickException as error:
        return say(_usage(error), USAGE)
    except CommandError as error:
        return say(str(error), error.status, trace_of(error))
    except SharedEnvironment as error:
        return say(str(error), USAGE)
    except ModuleNotFoundError as error:
        return say(_missing(error), USAGE)
    except _known() as error:
        return say(*_ending(error), trace_of(error))
    except Exception as error:  # a fault of ours: programs hear of it, people get the whole story
        say(f"a fault of the program: {type(error).__name__}: {error}", FAILED, trace_of(error))
        raise


def _missing(error: ModuleNotFoundError) -> str:
    """Which extra brings what is missing. Raises the error when none does."""
    text = remedy(error)
    if not text:
        raise error
    return text


def _known() -> tuple[type[Exception], ...]:
    """The errors that commands end with; imported when one comes, for each brings what raises it."""
    from config.settings import SettingsError
    from iceprod.client import ClientError
    from iceprod.supervisor import StartError

    return SettingsError, StartError, ClientError


def _ending(error: Exception) -> tuple[str, int]:
    """What the user reads of such an error, and the exit status."""
    from iceprod.client import Refused, Unreachable
    from iceprod.supervisor import StartError

    match error:
        case StartError():
            return str(error), FAILED
        case Unreachable():
            return f"{error}; is it running? `iceprod up` starts one on this machine", UNREACHABLE
        case Refused():
            return error.reason, USAGE if error.status < 500 else FAILED
    return str(error), USAGE


def _tell(text: str, status: int, trace_id: str, *, as_json: bool) -> int:
    if text:  # who interrupts knows what was wrong
        print(f"error: {text}{f' (trace {trace_id})' if trace_id else ''}", file=sys.stderr)
    if as_json:
        import json

        trace = {"trace": trace_id} if trace_id else {}
        print(json.dumps({"error": text or "interrupted", "exit_status": status, **trace}), flush=True)
    return status


def _usage(error: click.ClickException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    return f"{message} (see `{context.command_path} --help`)" if context else message
