"""``iceprod bench all``: every benchmark, one after the other, into one file."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
import msgspec
from click.shell_completion import CompletionItem

from config.environment import require
from iceprod.cli.benching.plan import BENCHES, LEFT_OUT, PLAN, planned
from iceprod.cli.benching.records import Missing, Record, Run, append_trend, write_record
from iceprod.cli.benching.running import Collection, collect
from iceprod.cli.common.errors import FAILED, USAGE, CommandError
from iceprod.cli.common.files import check_folder
from iceprod.cli.common.screen import safe
from iceprod.cli.common.tables import print_table

__all__ = ["everything"]

_INTERRUPTED = 130
_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in PLAN if name in BENCHES and name.startswith(incomplete)]


@click.command("all")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_names)
@click.option("--quick", is_flag=True, help="The short form of each, a minute or two in all.")
@click.option("--rounds", type=click.IntRange(1, 100), default=1, show_default=True,
              help="Measure all of them so many times; three tell how much each figure varies.")
@click.option("--events", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="A folder of events to measure too; without it there is no `alert`.")
@click.option("--within", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
              help="Begin none after so long, and end the one that runs.")
@click.option("--out", type=_FILE, help="The file; written anew after each benchmark.")
@click.option("--trend", type=_FOLDER, help="Add a line with the figures to `trend.jsonl` in this folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the file's object, too.")
def everything(names: tuple[str, ...], quick: bool, rounds: int, events: Path | None, within: float | None,
               out: Path | None, trend: Path | None, as_json: bool) -> int:
    """Measure everything, or the benchmarks NAME, one after the other, into one file.

    One that fails is named with its reason, and the others go on. What was measured before an interruption
    stays. The exit status is 1 when nothing was measured.
    """
    require("server")
    _check(names, out, trend)
    plan = planned(names, quick=quick, events=events.absolute() if events else None)
    found = Collection(quick, rounds)
    with _ending_kindly(found):
        for told in collect(found, plan, within):
            print(_line(told), file=sys.stderr, flush=True)
            if out is not None and isinstance(told, Run):
                _kept(lambda: write_record(out, found.record()))
    record = found.record()
    is_kept = _keep(record, out, trend)
    if as_json:
        print(msgspec.json.encode(record).decode())
    else:
        _print(record)
    return _INTERRUPTED if record.interrupted else 0 if record.runs and is_kept else FAILED


def _check(names: tuple[str, ...], out: Path | None, trend: Path | None) -> None:
    """Raise CommandError for what would be found out too late."""
    known = [name for name in PLAN if name in BENCHES]
    for name in names:
        if name in LEFT_OUT:
            raise CommandError(f"{name} is not one of all: {LEFT_OUT[name]} (`iceprod bench {name}`)", USAGE)
        if name not in known:
            raise CommandError(f"unknown benchmark {name!r}; known: {', '.join(known)}", USAGE)
    if out is not None:
        check_folder(out.absolute().parent)
    if trend is not None:
        check_folder(trend, "--trend")


@contextmanager
def _ending_kindly(found: Collection) -> Iterator[None]:
    """An interruption, also by SIGTERM, only marks what was found: it is kept, and what runs is stopped."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        found.interrupted = True
    finally:
        signal.signal(signal.SIGTERM, before)


def _keep(record: Record, out: Path | None, trend: Path | None) -> bool:
    """Write what is to be written; whether all of it is."""
    written = out is None or _kept(lambda: write_record(out, record))
    added = trend is None or not record.runs or _kept(lambda: append_trend(trend, record))
    return written and added


def _kept(write: Callable[[], object]) -> bool:
    """Write; a full disk is told of, and takes neither the benchmarks to come nor the figures there are."""
    try:
        write()
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return False
    return True


def _line(told: Run | Missing) -> str:
    if isinstance(told, Missing):
        return f"{told.name:<8} not measured: {safe(told.reason, kept='')}"
    return f"{told.bench:<8} {told.seconds:6.1f} s  load {told.load_before:.1f} … {told.load_after:.1f}"


def _print(record: Record) -> None:
    rows = [(one.name, float(f"{one.value:.4g}"), one.unit, one.kind, one.load) for one in record.figures]
    print_table(("figure", "value", "unit", "kind", "load"), rows, "nothing was measured")
