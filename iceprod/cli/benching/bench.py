"""``iceprod bench``: how fast the parts are, here."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from config.environment import require
from iceprod.cli.benching.plan import BENCHES
from iceprod.cli.common.errors import FAILED, CommandError

__all__ = ["bench"]

_OURS = {"all": "everything", "compare": "compare", "figures": "figures"}
"""Commands that measure nothing by themselves, with their modules."""


class Benches(click.Group):
    """Commands of this package, and benchmarks, whose words their own programs read."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_OURS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in _OURS:
            return getattr(import_module(f"iceprod.cli.benching.{_OURS[name]}"), _OURS[name])
        return _passing(name) if name in BENCHES else None

    def resolve_command(self, ctx: click.Context,
                        args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None:
            known = ", ".join([*BENCHES, *_OURS])
            raise click.UsageError(f"unknown benchmark {args[0]!r}; known: {known}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [CompletionItem(name) for name in BENCHES if name.startswith(incomplete)]
        return [*names, *super().shell_complete(ctx, incomplete)]


@click.group(cls=Benches, invoke_without_command=True, epilog=f"NAME is one of: {', '.join(BENCHES)}.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; without NAME the names.")
@click.pass_context
def bench(ctx: click.Context, as_json: bool) -> int:
    """Measure NAME, one of those that it lists without a name.

    `iceprod bench NAME --help` tells the options of each; `iceprod bench all` measures them one after the
    other.
    """
    if ctx.invoked_subcommand in _OURS and as_json:
        raise click.UsageError(f"--json stands after `iceprod bench {ctx.invoked_subcommand}`")
    if ctx.invoked_subcommand is None:
        print(json.dumps({"benches": list(BENCHES)}) if as_json else ctx.get_help())
    return 0


def _passing(name: str) -> click.Command:
    """The command that hands its words on to a benchmark's program."""

    @click.command(name, context_settings={"ignore_unknown_options": True, "help_option_names": []})
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    @click.option("--json", "as_json", is_flag=True)
    @click.pass_context
    def measure(ctx: click.Context, arguments: tuple[str, ...], as_json: bool) -> int:
        module, chosen = BENCHES[name]
        require("scanner" if module.startswith("scanner.") else "server")  # pilots are measured with a server
        words = [sys.executable, "-m", module, *chosen, *arguments]
        if as_json or (ctx.parent is not None and ctx.parent.params["as_json"]):
            return _as_object(name, words)
        return subprocess.run(words, check=False).returncode

    return measure


def _as_object(name: str, words: list[str]) -> int:
    """Measure, and print the object that comes of it. Raises CommandError where there is none."""
    done = subprocess.run([*words, "--json"], check=False, stdout=subprocess.PIPE)
    try:
        print(json.dumps(json.loads(done.stdout)))
    except ValueError:
        raise CommandError(f"the benchmark {name} measured nothing; what it said stands above",
                           done.returncode or FAILED) from None
    return done.returncode
