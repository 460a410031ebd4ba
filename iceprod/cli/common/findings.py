"""Telling what is wrong with a configuration."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.config_check import Finding, Kind, check_config, refused

__all__ = ["checked", "file_lines"]

_MOST = 30
_WORDS = {"input": "reads", "output": "writes", "both": "reads and writes"}


def checked(path: Path, config: dict[str, Any], jobs: int, *, lenient: bool = False) -> list[Finding]:
    """What is only said of a configuration; it is said here. Raises CommandError for one that is refused."""
    found = check_config(config, jobs)
    wrong = refused(found, lenient=lenient)
    said = [one for one in found if one not in wrong]
    for one in said:
        print(f"warning: {path}: {one.text}", file=sys.stderr)
    if wrong:
        hopeless = any(one.kind is Kind.ERROR for one in wrong)
        hint = "" if hopeless else "\n(--lenient takes it all the same)"
        raise CommandError("\nerror: ".join(f"{path}: {one.text}" for one in wrong) + hint, USAGE)
    return said


def file_lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Lines that tell where the files of tasks can be moved, and with which credential."""
    told = list(rows)
    for row in told[:_MOST]:
        where = f"at {', '.join(row['sites'])}" if row["sites"] else "no site says that it can"
        where += f", not at {', '.join(row['not_at'])}" if row["not_at"] else ""
        scope = f" ({row['scope']})" if row.get("scope") else ""
        name = row["remote"] or row["local"]
        yield f"  {_WORDS[row['movement']]} {name}: {where}; credential: {row['credential']}{scope}"
        if row.get("problem"):
            yield f"    {row['problem']}"
    if len(told) > _MOST:
        yield f"  and {len(told) - _MOST} more files"
