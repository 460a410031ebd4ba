"""What ``iceprod bench`` and its commands print with ``--json``."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from iceprod.cli.common.shape import Struct

__all__ = ["BenchAll", "BenchCompared", "BenchPages", "BenchTables", "Benches"]

_Rows = list[dict[str, Any]]
_Fields = dict[str, Any]


class Benches(Struct):
    """Without a name."""

    benches: Annotated[list[str], Meta(description="what can be measured; each prints an object of its own")]


class BenchAll(Struct):
    """What its file holds."""

    format: Annotated[int, Meta(description="1")]
    time: Annotated[str, Meta(description="UTC, when it began")]
    seconds: float
    quick: bool
    rounds: int
    interrupted: bool
    machine: Annotated[_Fields, Meta(description="`processor`, `architecture`, `system`, `cores`, "
                                                "`memory_bytes`")]
    versions: Annotated[dict[str, str], Meta(description="by name; `commit` is ours")]
    runs: Annotated[_Rows, Meta(description="`bench`, `round`, `arguments`, `seconds`, `load_before`, "
                                            "`load_after`, `object`: what it prints by itself")]
    missing: Annotated[_Rows, Meta(description="`name`, `reason`")]
    figures: Annotated[_Rows, Meta(description="`name`, `value`, `unit`, `better` (`lower`, `higher`), "
                                               "`kind` (`cpu`, `ratio`, `wall`, `rate`), `load`, `rounds`")]


class BenchCompared(Struct):
    a: Annotated[str, Meta(description="the file")]
    b: str
    differences: Annotated[_Rows, Meta(description="of machine and versions: `what`, `a`, `b`")]
    worse: Annotated[_Rows, Meta(description="`name`, `a`, `b`, `unit`, `kind`, `percent`, "
                                             "`tolerance_percent`")]
    better: _Rows
    same: Annotated[_Rows, Meta(description="within noise")]
    unjudged: Annotated[_Rows, Meta(description="`name`, `reason`")]
    missing: Annotated[list[str], Meta(description="figures of the first alone")]
    new: Annotated[list[str], Meta(description="figures of the second alone")]


class BenchTables(Struct):
    """Without pages."""

    tables: Annotated[dict[str, str], Meta(description="Markdown, by benchmark")]


class BenchPages(Struct):
    """With pages."""

    pages: Annotated[_Rows, Meta(description="`page`, `written`, `left`: names of benchmarks")]
