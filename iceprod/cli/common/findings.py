"""Telling what is wrong with a configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.config_check import Finding, Kind, check_config, refused

__all__ = ["checked"]


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
