"""An announced maintenance: nobody lives into it, nobody is there meanwhile, all come back."""

from __future__ import annotations

from grid.base import PilotClass
from grid.condor.coverage import BUSY, IDLE, Pilot
from grid.condor.decide import Control, Decision, decide, read_time
from grid.condor.demand import Work
from grid.condor.pace import History
from grid.condor.site import Site, Size

SITE = Site(site="here", server="http://x", largest=Size(cores=8, memory=32, disk=100, hours=48))
STARTS, ENDS = "2026-02-01T06:00:00.000000", "2026-02-01T18:00:00.000000"
ANNOUNCED = Control(starts=STARTS, ends=ENDS, reason="new switches")
OLD = PilotClass(1, 2.0, 10.0, 0, 16.1, "here")


def ask(hours_before: float, *works: Work, pilots: tuple[Pilot, ...] = ()) -> Decision:
    return decide(works, pilots, SITE, History(), read_time(STARTS) - 3600 * hours_before, ANNOUNCED)


def test_long_before_nothing_changes() -> None:
    (order,) = ask(100, Work.of({"time": 20.0}, 2)).submit
    assert order.shape.lifetime_hours == 40.1


def test_new_pilots_end_in_time_and_old_ones_leave() -> None:
    old, young = Pilot("1", OLD, BUSY, age=0.0), Pilot("2", OLD, IDLE, age=14 * 3600.0)
    decision = ask(4, Work.of({"time": 1.0}, 5), pilots=(old, young))
    assert decision.drain == ("1",)
    assert all(order.shape.lifetime_hours <= 3.8 for order in decision.submit)
    assert "would live into the maintenance at 2026-02-01T06:00 UTC" in " ".join(decision.reasons)


def test_a_task_that_is_too_long_is_refused_until_it_is_over() -> None:
    (one,) = ask(4, Work.of({"time": 6.0}, 1)).unserved
    assert one.why == "it needs 6 hours, a pilot of this site has at most 3.7"
    assert ask(-13, Work.of({"time": 6.0}, 1)).submit


def test_meanwhile_the_site_is_empty() -> None:
    decision = ask(-1, Work.of({}, 5), pilots=(Pilot("1", OLD, BUSY),))
    assert (decision.submit, decision.drain) == ((), ("1",))
    assert "maintenance until 2026-02-01T18:00 UTC new switches" in decision.reasons[0]
