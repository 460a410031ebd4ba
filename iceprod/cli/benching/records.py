"""What one run of all benchmarks leaves: machine, versions, objects and figures, in one JSON file."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.cli.common.files import read_json

__all__ = ["Better", "Figure", "Kind", "Machine", "Missing", "Record", "Run", "append_trend",
           "read_record", "write_record"]

TREND = "trend.jsonl"

Kind = Literal["cpu", "ratio", "wall", "rate"]
"""Processor time (or what is done in it), a relation within one run, time on the clock, things a second."""
Better = Literal["lower", "higher"]
_Least0 = Annotated[float, Meta(ge=0)]
_Count = Annotated[int, Meta(ge=1)]
_Text = Annotated[str, Meta(min_length=1)]


class Machine(msgspec.Struct, frozen=True):
    """What was measured on."""

    processor: str
    architecture: str
    system: str
    cores: _Count
    memory_bytes: Annotated[int, Meta(ge=0)]


class Run(msgspec.Struct, frozen=True):
    """One benchmark, once; the load is the system's average over a minute, before and after."""

    bench: _Text
    round: _Count
    arguments: list[str]
    seconds: _Least0
    load_before: _Least0
    load_after: _Least0
    object: dict[str, Any]

    @property
    def load(self) -> float:
        return (self.load_before + self.load_after) / 2


class Missing(msgspec.Struct, frozen=True):
    """A benchmark that did not measure, and why."""

    name: str
    reason: str


class Figure(msgspec.Struct, frozen=True):
    """One number, named BENCH/ROW/COLUMN; the median, where there are rounds."""

    name: _Text
    value: float
    unit: str
    better: Better
    kind: Kind
    load: _Least0
    rounds: list[float] = []

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.value, self.load, *self.rounds))):
            raise ValueError("numbers have to be finite")

    @property
    def bench(self) -> str:
        return self.name.partition("/")[0]


class Record(msgspec.Struct, frozen=True):
    """The file."""

    format: Literal[1]
    time: str
    seconds: _Least0
    quick: bool
    rounds: _Count
    interrupted: bool
    machine: Machine
    versions: dict[str, str]
    runs: list[Run]
    missing: list[Missing]
    figures: list[Figure]

    def __post_init__(self) -> None:
        names = [figure.name for figure in self.figures]
        twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
        if twice is not None:
            raise ValueError(f"`figures` has {twice!r} twice")


def read_record(path: Path) -> Record:
    """The file of a run. Raises CommandError, which names the field that is wrong."""
    try:
        return msgspec.convert(read_json(path), Record)
    except msgspec.ValidationError as error:
        raise CommandError(f"{path}: not a file of `iceprod bench all`: {error}", USAGE) from None


def write_record(path: Path, record: Record) -> None:
    """Write it whole or not at all. Raises CommandError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CommandError(f"cannot write {path}: {error.strerror}", USAGE) from None


def append_trend(folder: Path, record: Record) -> Path:
    """Add one line, the record without the benchmarks' objects, to the folder's file. Raises CommandError."""
    path = folder / TREND
    runs = [msgspec.structs.replace(run, object={}) for run in record.runs]
    line = msgspec.json.encode(msgspec.structs.replace(record, runs=runs)) + b"\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            file.write(line)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}", USAGE) from None
    return path
