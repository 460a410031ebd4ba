"""``iceprod bench compare``: what got worse or better from one file to another."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from iceprod.cli.benching.comparing import Change, Comparison
from iceprod.cli.benching.comparing import compare as judged
from iceprod.cli.benching.records import read_record
from iceprod.cli.common.errors import FAILED
from iceprod.cli.common.screen import safe
from iceprod.cli.common.tables import print_table

__all__ = ["compare"]

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("a", type=_FILE)
@click.argument("b", type=_FILE)
@click.option("--fail-worse", is_flag=True, help="Exit with status 1 when a figure got worse.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare(a: Path, b: Path, fail_worse: bool, as_json: bool) -> int:
    """Tell which figures got worse or better from A to B, files of `iceprod bench all`.

    Beyond noise, that is: what rounds spread where both have three (`--rounds 3`), else a quarter for
    processor times and ratios, a half for the clock. Figures of the clock count only where loads are alike.
    """
    found = judged(read_record(a), read_record(b))
    if as_json:
        print(json.dumps({"a": str(a), "b": str(b), **asdict(found)}))
    else:
        _print(found)
    return FAILED if fail_worse and found.worse else 0


def _print(found: Comparison) -> None:
    for one in found.differences:
        print(safe(f"{one.what}: {one.a or 'unknown'}, then {one.b or 'unknown'}", kept=""))
    rows = [_row(verdict, change) for verdict in ("worse", "better") for change in getattr(found, verdict)]
    print_table(("", "figure", "before", "now", "unit", "change", "noise up to"), rows,
                "nothing got worse or better beyond noise")
    print(f"{len(found.same)} within noise")
    reasons = Counter(one.reason for one in found.unjudged)
    for reason, count in reasons.items():
        names = [one.name for one in found.unjudged if one.reason == reason]
        print(safe(f"{count} not compared, {reason}: {_some(names)}", kept=""))
    for words, missing in (("only in the first", found.missing), ("only in the second", found.new)):
        if missing:
            print(safe(f"{len(missing)} {words}: {_some(missing)}", kept=""))


def _row(verdict: str, change: Change) -> tuple[str, str, float, float, str, str, str]:
    return (verdict, change.name, float(f"{change.a:.4g}"), float(f"{change.b:.4g}"), change.unit,
            f"{change.percent:+.0f} %", f"{change.tolerance_percent:.0f} %")


def _some(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
