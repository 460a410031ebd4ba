"""Files of figures as tests want them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from iceprod.cli.benching.records import Better, Figure, Kind, Machine, Missing, Record, Run
from iceprod.cli.benching.sheets import gathered

__all__ = ["EVENTS", "STARTS", "a_figure", "a_record", "a_run"]

MACHINE = Machine("Example 9000", "x86_64", "Linux 6", 2, 8 * 2**30)
EVENTS = {"simulated 1e+03 GeV": {"event": "x", "json_bytes": 1, "pulses": 2, "first_ms": 9.0, "ms": 4.0}}
STARTS = {"load": 1.0, "starts": [{"what": "nothing", "wall_s": 0.1, "cpu_s": 0.02, "ratio": 1.0},
                                  {"what": "help", "wall_s": 0.3, "cpu_s": 0.1, "ratio": 5.0}]}


def a_figure(value: float = 10.0, *, name: str = "event/x/ms", kind: Kind = "cpu", better: Better = "lower",
             load: float = 1.0, rounds: Iterable[float] = (), unit: str = "ms") -> Figure:
    return Figure(name, value, unit, better, kind, load, [*rounds])


def a_run(bench: str = "event", found: dict[str, Any] | None = None, *, number: int = 1,
          arguments: Iterable[str] = (), load: float = 1.0) -> Run:
    return Run(bench, number, [*arguments], 2.5, load, load, EVENTS if found is None else found)


def a_record(*figures: Figure, runs: Iterable[Run] = (), cores: int = 2, missing: Iterable[Missing] = (),
             versions: dict[str, str] | None = None, processor: str = "Example 9000") -> Record:
    """With these figures, or else those of its runs."""
    made = [*runs]
    machine = Machine(processor, MACHINE.architecture, MACHINE.system, cores, MACHINE.memory_bytes)
    return Record(1, "2026-11-29T12:00:00+00:00", 9.0, True, 1, False, machine,
                  {"python": "3.11.2"} if versions is None else versions, made, [*missing],
                  [*figures] or gathered(made))
