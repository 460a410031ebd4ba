"""The decision how many pilots to submit: bounds in every situation, no class forgotten in the long run."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.base import PilotClass
from grid.condor.coverage import BUSY, DRAINING, IDLE, QUEUED, STARTING, Pilot
from grid.condor.decide import Control, Decision, Order, decide
from grid.condor.demand import Work
from grid.condor.pace import History, ceiling_of
from grid.condor.shapes import Unserved, needs, offer_of, shape_for, tasks_within
from grid.condor.site import Limits, Pace, Site, Size
from grid.condor.site import Pilot as PilotJob
from iceprod.requirements import Fit, class_fit

SITE = Site(site="here", server="http://x", largest=Size(cores=8, memory=32, disk=100, gpus=1, hours=48))
ONE = PilotClass(1, 2.0, 10.0, 0, 16.1, "here")


def site(**limits: Any) -> Site:
    return Site(site="here", server="http://x", largest=SITE.largest, limits=Limits(**limits))


def ask(demand: list[Work], pilots: Sequence[Pilot] = (), where: Site = SITE, history: History | None = None,
        control: Control | None = None) -> Decision:
    return decide(demand, pilots, where, history or History(), 1000.0, control)


def orders(decision: Decision) -> int:
    return sum(order.count for order in decision.submit)


def many(count: int, state: str, offer: PilotClass = ONE, **others: Any) -> list[Pilot]:
    return [Pilot(f"{state}{offer.gpus}{n}", offer, state, **others) for n in range(count)]


# -- single cases


def test_one_slot_for_each_waiting_task() -> None:
    decision = ask([Work.of({}, 3)])
    assert [(order.shape, order.count) for order in decision.submit] == [(ONE, 3)]
    assert decision.reasons == ("submit 3: 3 tasks (no requirements) have no slot",)


def test_pilots_on_their_way_and_idle_ones_count() -> None:
    pilots = [*many(2, QUEUED), *many(1, STARTING), *many(1, IDLE)]
    assert orders(ask([Work.of({}, 5)], pilots)) == 1
    assert orders(ask([Work.of({}, 4)], pilots)) == 0


def test_leaving_and_busy_pilots_do_not() -> None:
    busy = many(1, BUSY, free={"cpu": 0, "gpu": 0, "memory": 0.0, "disk": 0.0})
    assert orders(ask([Work.of({}, 2)], [*many(1, DRAINING), *busy])) == 2


def test_free_cores_of_a_busy_pilot_count() -> None:
    large = PilotClass(4, 8.0, 40.0, 0, 16.0, "here")
    busy = many(1, BUSY, large, free={"cpu": 3, "gpu": 0, "memory": 6.0, "disk": 30.0})
    assert orders(ask([Work.of({"cpu": 1}, 5)], busy)) == 2


def test_the_limits_bind_and_are_named() -> None:
    decision = ask([Work.of({}, 50)], many(3, BUSY), site(pilots=5, queued=20))
    assert (orders(decision), "the limit is 5 pilots" in decision.reasons[0]) == (2, True)
    decision = ask([Work.of({}, 50)], many(3, QUEUED), site(queued=4))
    assert (orders(decision), "at most 4 may be queued" in decision.reasons[0]) == (1, True)
    decision = ask([Work.of({}, 50)])
    assert (orders(decision), "at most 10 may be on their way" in decision.reasons[0]) == (10, True)


def test_a_pause_after_failures_is_kept_and_named() -> None:
    decision = ask([Work.of({}, 5)], history=History(step=5, until=1030.0, why="held: no Python"))
    assert orders(decision) == 0
    assert "pause of 30 s after failures: held: no Python" in decision.reasons[0]


def test_a_paused_site_submits_nothing_and_a_limited_one_sheds() -> None:
    assert orders(ask([Work.of({}, 5)], control=Control("paused", reason="cooling"))) == 0
    assert ask([], control=Control("paused", reason="cooling")).reasons == ("the site is paused: cooling",)
    busy = many(4, BUSY, free={"cpu": 0, "gpu": 0, "memory": 0.0, "disk": 0.0})
    decision = ask([Work.of({}, 5)], [*busy, *many(2, QUEUED)], control=Control(limit=3))
    assert (len(decision.remove), len(decision.drain), orders(decision)) == (2, 1, 0)


def test_a_draining_site_is_emptied() -> None:
    pilots = [*many(2, BUSY), *many(2, QUEUED), *many(1, IDLE), *many(1, DRAINING)]
    decision = ask([Work.of({}, 50)], pilots, control=Control("draining"))
    assert (len(decision.remove), len(decision.drain), orders(decision)) == (2, 3, 0)


def test_a_class_nobody_can_serve_is_explained() -> None:
    works = [Work.of({"gpu": 2}, 3), Work.of({"memory": 500.0}, 1), Work.of({"time": 100.0}, 1),
             Work.of({"site": "there"}, 1)]
    decision = ask(works)
    assert orders(decision) == 0
    assert [one.why for one in decision.unserved] == [
        "it needs 2 GPUs, a pilot of this site has at most 1",
        "it needs 500 GB of memory, a pilot of this site has at most 32",
        "it needs 100 hours, a pilot of this site has at most 47.9",
        "it asks for the site there"]


def test_bins_refuse_nothing_that_fits() -> None:
    """The bin of 101 GB ends at 120, that of 25 hours at 28."""
    where = Site(site="here", server="http://x", largest=Size(cores=8, memory=110, disk=100, hours=26))
    work = Work.of({"memory": 101.0, "time": 25.0}, 2, least={"memory": 101.0, "time": 25.0})
    (order,) = ask([work], where=where).submit
    assert (order.shape.memory_gb, order.shape.lifetime_hours, order.count) == (110.0, 26.0, 2)
    assert not ask([work], [Pilot(str(n), order.shape, QUEUED) for n in range(2)], where).submit
    (one,) = ask([Work.of({"memory": 119.0}, 1, least={"memory": 119.0})], where=where).unserved
    assert one.why == "it needs 120 GB of memory, a pilot of this site has at most 110"


def test_pixels_need_pilots_with_the_scanner() -> None:
    where = Site(site="here", server="http://x", pilot=PilotJob(pixels=False))
    (one,) = ask([Work.of({"kind": "pixels"}, 3)], where=where).unserved
    assert "needs the scanner" in one.why
    assert orders(ask([Work.of({"kind": "pixels"}, 3)])) == 3


def test_a_pilot_is_as_large_as_its_task_and_lives_longer() -> None:
    shape = shape_for(Work.of({"cpu": 4, "memory": 9.5, "disk": 33.0, "time": 3.0, "gpu": 1}, 1), SITE)
    assert shape == PilotClass(4, 10.0, 35.0, 1, 6.1, "here")


def test_a_large_smallest_pilot_has_room_for_several_tasks() -> None:
    where = Site(site="here", server="http://x", smallest=Size(cores=4), largest=SITE.largest)
    decision = ask([Work.of({"cpu": 1, "memory": 3.0, "disk": 5.0}, 9)], where=where)
    assert decision.submit == (Order(PilotClass(4, 12.0, 20.0, 0, 16.1, "here"), 3),)


def test_surplus_goes_after_a_while_down_to_the_warm_ones() -> None:
    assert len(ask([], many(3, QUEUED, seconds=31)).remove) == 3
    assert len(ask([], many(3, QUEUED, seconds=29)).remove) == 0
    decision = ask([], [*many(3, IDLE, seconds=601), *many(2, QUEUED, seconds=31)], site(warm=2))
    assert (len(decision.remove), len(decision.drain)) == (2, 1)


def test_pilots_are_kept_warm() -> None:
    assert orders(ask([], where=site(warm=3))) == 3
    assert orders(ask([], many(2, BUSY), site(warm=3))) == 1
    assert orders(ask([Work.of({}, 5)], where=site(warm=3))) == 5


def test_wanted_slots_are_held_even_without_waiting_tasks() -> None:
    assert orders(ask([Work.of({}, 1, wanted=6, processing=2)])) == 4
    assert orders(ask([Work.of({}, 0, wanted=2, processing=2)])) == 0


def test_a_full_site_gives_a_place_to_a_class_without_a_pilot() -> None:
    busy = many(4, BUSY, free={"cpu": 0, "gpu": 0, "memory": 0.0, "disk": 0.0})
    works = [Work.of({}, 100, priority=0.9), Work.of({"gpu": 1}, 1, priority=0.1)]
    decision = ask(works, busy, site(pilots=4))
    assert len(decision.drain) == 1
    leaving = [replace(busy[0], state=DRAINING), *busy[1:]]
    assert not ask(works, leaving, site(pilots=4)).drain
    assert [order.shape.gpus for order in ask(works, busy[1:], site(pilots=4)).submit] == [1]


def test_a_full_queue_gives_a_place_to_a_class_without_a_pilot() -> None:
    works = [Work.of({}, 100), Work.of({"gpu": 1}, 1)]
    decision = ask(works, many(4, QUEUED), site(queued=4))
    assert (len(decision.remove), orders(decision)) == (1, 0)


# -- slots that others hold

FOUR = PilotClass(4, 4.0, 10.0, 0, 16.1, "here")
NONE_FREE = {"cpu": 0, "gpu": 0, "memory": 0.0, "disk": 0.0}
LARGE = Work.of({"cpu": 4, "memory": 4.0}, 5, priority=0.5)


def test_idle_pilots_leave_at_once_when_others_find_no_slot() -> None:
    queued = many(5, QUEUED, FOUR, seconds=16)
    decision = ask([LARGE], [*many(8, IDLE, seconds=6), *queued])
    assert len(decision.drain) == 8
    assert "they have nothing to do, and other tasks find no slot" in decision.reasons[-1]
    assert not ask([LARGE], [*many(8, IDLE, seconds=6), *many(5, QUEUED, FOUR, seconds=9)]).drain
    assert not ask([LARGE], [*many(8, IDLE, seconds=1, host="a"), *queued]).remove


def test_idle_pilots_that_have_work_coming_stay() -> None:
    small = Work.of({"cpu": 1}, 3, processing=1)
    decision = ask([LARGE, small], [*many(8, IDLE, seconds=60), *many(5, QUEUED, FOUR, seconds=16)])
    assert len(decision.drain) == 5


def busy_hosts() -> list[Pilot]:
    """Two hosts full of one-core pilots, three on the first and six on the second."""
    return [Pilot(f"b{n}", ONE, BUSY, free=NONE_FREE, age=100.0 + n, host="a" if n < 3 else "b")
            for n in range(9)]


def test_room_is_made_at_one_host_for_a_class_that_nobody_can_take() -> None:
    pilots = [*busy_hosts(), *many(1, QUEUED, FOUR, seconds=20)]
    flood = Work.of({"cpu": 1}, 50, priority=0.9)
    rivals = [Pilot(f"q{n}", ONE, QUEUED, 20.0) for n in range(3)]
    decision = ask([LARGE, flood], [*pilots, *rivals])
    assert {pilot.host for pilot in pilots if pilot.id in decision.drain} == {"b"}
    assert len(decision.drain) == 4
    assert len(decision.remove) == 3, "they would take the slots"
    assert [order.shape.cores for order in decision.submit] == [4]
    (rank, ids), = decision.ranks
    assert (ids, rank > 1000) == (("queued00",), True)


def test_room_is_made_once_and_others_are_held_back_until_it_is_taken() -> None:
    pilots = [*busy_hosts(), *many(1, QUEUED, FOUR, seconds=20)]
    works = [LARGE, Work.of({"cpu": 1}, 50, priority=0.9)]
    first = ask(works, pilots)
    leaving = [replace(p, state=DRAINING) if p.id in first.drain else p for p in pilots]
    second = ask(works, leaving, history=first.history)
    assert (second.drain, [order.shape.cores for order in second.submit]) == ((), [4])
    gone = [pilot for pilot in pilots if pilot.id not in first.drain]
    third = ask(works, gone, history=second.history)
    assert (third.drain, [order.shape.cores for order in third.submit]) == ((), [4])
    much_later = decide(works, gone, SITE, second.history, 2000.0)
    assert [order.shape.cores for order in much_later.submit if order.shape.cores == 1] == [1]


def test_a_class_that_no_host_of_ours_could_hold_keeps_nobody_back() -> None:
    works = [Work.of({"cpu": 8}, 1), Work.of({"cpu": 1}, 50)]
    eight = PilotClass(8, 4.0, 10.0, 0, 16.1, "here")
    decision = ask(works, [*busy_hosts(), *many(1, QUEUED, eight, seconds=99)])
    assert not decision.drain
    assert [order.count for order in decision.submit if order.shape.cores == 1] == [9]


def test_long_tasks_get_a_slot_from_short_ones() -> None:
    long = Work.of({"cpu": 1, "time": 30.0}, 2)
    shape = shape_for(long, SITE)
    assert isinstance(shape, PilotClass)
    decision = ask([long, Work.of({}, 500)], [*busy_hosts(), *many(2, QUEUED, shape, seconds=20)])
    assert len(decision.drain) == 1


def test_priorities_reach_the_queue() -> None:
    low, high = Work.of({"memory": 1.0}, 50, priority=0.1), Work.of({"memory": 9.0}, 3, priority=1.0)
    decision = ask([low, high], many(19, QUEUED, PilotClass(1, 1.0, 10.0, 0, 16.1, "here"), rank=10),
                   history=History(step=100))
    assert {(order.shape.memory_gb, order.count, order.rank) for order in decision.submit} == {(9.0, 1, 100)}
    assert len(decision.remove) == 2, "places in the queue for the other two"
    assert not decision.ranks
    assert ask([low], many(2, QUEUED, rank=0)).ranks == ((10, ("queued00", "queued01")),)


def test_the_only_pilot_of_a_low_class_keeps_its_place() -> None:
    low, high = Work.of({"memory": 1.0}, 1, priority=0.1), Work.of({"memory": 9.0}, 3, priority=1.0)
    decision = ask([low, high], many(1, QUEUED, PilotClass(1, 1.0, 10.0, 0, 16.1, "here")), site(queued=1))
    assert not decision.remove


def test_a_pilot_takes_its_share_of_a_node_when_the_work_fills_it() -> None:
    node = Size(cores=4, memory=8.0, disk=40.0)

    def submitted(work: Work, pilots: Sequence[Pilot] = ()) -> list[tuple[int, float, int]]:
        decision = decide([work], pilots, SITE, History(), 0.0, None, node)
        return [(order.shape.cores, order.shape.memory_gb, order.count) for order in decision.submit]

    assert submitted(Work.of({"memory": 1.0}, 9)) == [(4, 8.0, 3)]
    assert submitted(Work.of({"memory": 1.0}, 3)) == [(1, 2.0, 3)], "three do not fill it"
    assert submitted(Work.of({"memory": 6.0}, 9)) == [(1, 6.0, 9)], "its memory is short for four"
    assert submitted(Work.of({"gpu": 1}, 9)) == [(1, 2.0, 9)]
    assert submitted(Work.of({"cpu": 8}, 2)) == [(8, 2.0, 2)]
    assert submitted(Work.of({"memory": 1.0}, 4), many(3, IDLE)) == [(1, 2.0, 1)]


# -- every situation

requirements = st.fixed_dictionaries({}, optional={
    "cpu": st.integers(1, 12), "gpu": st.integers(0, 2), "memory": st.floats(0.1, 50),
    "disk": st.floats(0.1, 120), "time": st.floats(0.01, 60), "site": st.sampled_from(["here", "there"])})
works = st.lists(st.builds(Work.of, requirements, st.integers(0, 300), processing=st.integers(0, 5),
                           wanted=st.integers(0, 10), priority=st.floats(0, 1)),
                 max_size=6, unique_by=lambda work: work.class_key)
offers = st.builds(PilotClass, cores=st.integers(1, 8), memory_gb=st.floats(1, 32), disk_gb=st.floats(1, 100),
                   gpus=st.integers(0, 1), lifetime_hours=st.floats(1, 48), site=st.just("here"))


@st.composite
def crowds(draw: st.DrawFn) -> list[Pilot]:
    pilots = []
    for number in range(draw(st.integers(0, 12))):
        offer = draw(offers)
        state = draw(st.sampled_from([QUEUED, STARTING, IDLE, BUSY, DRAINING]))
        free = {"cpu": draw(st.integers(0, offer.cores)), "gpu": 0, "memory": 1.0, "disk": 1.0}
        pilots.append(Pilot(str(number), offer, state, draw(st.floats(0, 5000)), draw(st.floats(0, 1e5)),
                            free if state == BUSY else None))
    return pilots


sites = st.builds(lambda pilots, queued, warm, step: Site(
    site="here", server="http://x", largest=SITE.largest, pace=Pace(step=step),
    limits=Limits(pilots=pilots, queued=queued, warm=min(warm, pilots))),
    st.integers(0, 15), st.integers(1, 10), st.integers(0, 4), st.integers(1, 20))
histories = st.builds(History, step=st.integers(0, 20), until=st.sampled_from([0.0, 1500.0]))
controls = st.builds(
    Control, st.sampled_from(["active", "paused", "draining"]), st.none() | st.integers(0, 15))


@settings(deadline=None, max_examples=60)
@given(works, crowds(), sites, histories, controls)
def test_bounds_hold(demand: list[Work], pilots: list[Pilot], where: Site, history: History,
                     control: Control) -> None:
    decision = decide(demand, pilots, where, history, 1000.0, control)
    new = orders(decision)
    limit = where.limits.pilots if control.limit is None else min(where.limits.pilots, control.limit)
    queued = [pilot for pilot in pilots if pilot.state == QUEUED]
    assert new <= max(0, limit - len(pilots))
    assert new <= max(0, where.limits.queued - len(queued))
    on_their_way = sum(pilot.state in (QUEUED, STARTING) for pilot in pilots)
    assert new <= max(0, (history.step or where.pace.step) - on_their_way)
    if control.state != "active" or history.until > 1000:
        assert new == 0
    assert all(order.count > 0 for order in decision.submit)
    assert decide(demand, pilots, where, history, 1000.0, control) == decision


@settings(deadline=None, max_examples=60)
@given(works, crowds(), sites)
def test_no_more_is_submitted_than_what_waits(demand: list[Work], pilots: list[Pilot], where: Site) -> None:
    servable = [work for work in demand if isinstance(shape_for(work, where), PilotClass)]
    most = sum(work.slots for work in servable if work.slots > 0)
    kept = max(0, where.limits.warm - sum(pilot.state != DRAINING for pilot in pilots))
    assert orders(decide(demand, pilots, where, History(), 0.0)) <= max(most, kept)


@settings(deadline=None, max_examples=60)
@given(works, crowds(), sites, controls)
def test_only_pilots_that_may_go_are_sent(demand: list[Work], pilots: list[Pilot], where: Site,
                                          control: Control) -> None:
    decision = decide(demand, pilots, where, History(), 0.0, control)
    states = {pilot.id: pilot.state for pilot in pilots}
    assert all(states[name] == QUEUED for name in decision.remove)
    assert all(states[name] in (STARTING, IDLE, BUSY) for name in decision.drain)
    going = [*decision.remove, *decision.drain]
    assert len(going) == len(set(going))
    unlimited = control.limit is None and len(pilots) <= where.limits.pilots
    if control.state == "active" and unlimited and not demand:
        left = sum(pilot.state != DRAINING for pilot in pilots) - len(going)
        assert left >= min(where.limits.warm, sum(pilot.state != DRAINING for pilot in pilots))
        assert not any(states[name] == BUSY for name in going)


@given(requirements, st.integers(1, 100))
def test_a_class_is_served_by_its_pilot_or_explained(wanted: dict[str, Any], waiting: int) -> None:
    work = Work.of(wanted, waiting)
    shape = shape_for(work, SITE)
    if isinstance(shape, Unserved):
        assert shape.why
        return
    assert tasks_within(needs(work), offer_of(shape)) >= 1
    assert class_fit(work.class_key, offer_of(shape)) is Fit.ALL
    high = SITE.largest
    assert (shape.cores, shape.memory_gb, shape.disk_gb, shape.gpus, shape.lifetime_hours) <= (
        high.cores, math.inf, math.inf, math.inf, math.inf)
    assert shape.memory_gb <= high.memory + 1e-3
    assert shape.disk_gb <= high.disk + 1e-3
    assert shape.gpus <= high.gpus
    assert shape.lifetime_hours <= high.hours + 1e-3


@settings(deadline=None, max_examples=25)
@given(works, sites)
def test_what_was_submitted_is_not_submitted_again(demand: list[Work], where: Site) -> None:
    """Rounds without any change of the demand come to rest, at most at one slot for each task."""
    pilots: list[Pilot] = []
    for _ in range(25):
        decision = decide(demand, pilots, where, History(), 0.0)
        pilots = [pilot for pilot in pilots if pilot.id not in decision.remove]
        pilots += [Pilot(f"{len(pilots)}-{n}-{order.shape}", order.shape, QUEUED)
                   for order in decision.submit for n in range(order.count)]
    last = decide(demand, pilots, where, History(), 0.0)
    assert orders(last) == 0 or last.remove
    assert len(pilots) <= min(where.limits.pilots, where.limits.queued, where.pace.step)


# -- the long run


class World:
    """A model of a site: queued pilots start, run one task a round, and leave when they are told to."""

    def __init__(self, where: Site, machines: int) -> None:
        self.where, self.machines = where, machines
        self.pilots: list[Pilot] = []
        self.names = itertools.count()
        self.history = History()
        self.now = 0.0
        self.ran: Counter[str] = Counter()

    def round(self, waiting: dict[str, int], classes: dict[str, Work], seconds: float = 300.0) -> None:
        demand = [replace_waiting(classes[key], count) for key, count in waiting.items()]
        decision = decide(demand, self.pilots, self.where, self.history, self.now)
        assert orders(decision) + len(self.pilots) <= self.where.limits.pilots
        self.history = decision.history
        self.pilots = [pilot for pilot in self.pilots if pilot.id not in decision.remove]
        self.pilots = [replace(p, state=DRAINING) if p.id in decision.drain else p for p in self.pilots]
        for order in decision.submit:
            self.pilots += [Pilot(str(next(self.names)), order.shape, QUEUED) for _ in range(order.count)]
        self.advance(waiting, classes, seconds)

    def advance(self, waiting: dict[str, int], classes: dict[str, Work], seconds: float) -> None:
        self.now += seconds
        running = sum(pilot.state != QUEUED for pilot in self.pilots)
        after = []
        for pilot in self.pilots:
            if pilot.state == QUEUED and running < self.machines:
                running += 1
                after.append(replace(pilot, state=IDLE, seconds=0.0))
            elif pilot.state == QUEUED:
                after.append(replace(pilot, seconds=pilot.seconds + seconds))
            elif pilot.state != DRAINING and pilot.age < pilot.offer.lifetime_hours * 3600:
                after.append(self.work(pilot, waiting, classes, seconds))
        self.pilots = after

    def work(self, pilot: Pilot, waiting: dict[str, int], classes: dict[str, Work], seconds: float) -> Pilot:
        offer = {**offer_of(pilot.offer), "time": pilot.offer.lifetime_hours - pilot.age / 3600}
        fitting = [key for key, count in waiting.items()
                   if count and tasks_within(needs(classes[key]), offer)]
        older = replace(pilot, age=pilot.age + seconds)
        if not fitting:
            idle = pilot.seconds + seconds if pilot.state == IDLE else 0.0
            return replace(older, state=IDLE, seconds=idle, free=None)
        best = min(fitting, key=lambda key: (self.ran[key], key))  # which one is the server's affair
        self.ran[best] += 1
        none = {"cpu": 0, "gpu": 0, "memory": 0.0, "disk": 0.0}
        return replace(older, state=BUSY, seconds=0.0, free=none)


def replace_waiting(work: Work, count: int) -> Work:
    return msgspec.structs.replace(work, waiting=count)


disjoint = [Work.of({"cpu": 1, "memory": 1.0, "time": 0.1}, 1, priority=0.9),
            Work.of({"gpu": 1, "cpu": 1, "time": 0.1}, 1, priority=0.5),
            Work.of({"cpu": 8, "memory": 20.0, "time": 0.1}, 1, priority=0.1)]


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6))
def test_no_class_starves_under_endless_work(limit: int, queued: int, machines: int) -> None:
    where = site(pilots=limit, queued=queued)
    world = World(where, machines)
    classes = {work.class_key: work for work in disjoint}
    for _ in range(400):
        world.round(dict.fromkeys(classes, 1000), classes)
    assert all(world.ran[key] > 0 for key in classes), world.ran


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 30), st.integers(1, 10), st.integers(1, 8), st.integers(0, 3))
def test_all_work_gets_done_and_the_site_is_empty_again(limit: int, queued: int, machines: int,
                                                        warm: int) -> None:
    warm = min(warm, limit)
    where = site(pilots=limit, queued=queued, warm=warm)
    world = World(where, machines)
    classes = {work.class_key: work for work in disjoint}
    waiting = dict.fromkeys(classes, 20)
    for _ in range(400):
        before = world.ran.copy()
        world.round(waiting, classes)
        for key in classes:
            waiting[key] = max(0, waiting[key] - (world.ran[key] - before[key]))
    assert not any(waiting.values()), waiting
    assert len(world.pilots) <= max(warm, 0)


@pytest.mark.parametrize("count", [3000])
def test_thousands_of_pilots_and_tasks_are_decided_upon(count: int) -> None:
    where = Site(site="here", server="http://x", limits=Limits(pilots=2 * count, queued=count),
                 pace=Pace(step=count))
    demand = [Work.of({"memory": float(n)}, count) for n in range(1, 20)]
    decision = ask(demand, [*many(count, BUSY, free={"cpu": 0, "gpu": 0, "memory": 0, "disk": 0}),
                            *many(count // 2, QUEUED)], where)
    assert orders(decision) == count // 2


@pytest.mark.parametrize(("limits", "jobs", "room", "why"), [
    ({"MAX_JOBS_PER_OWNER": "10"}, {"Jobs": 7}, 3, "MAX_JOBS_PER_OWNER"),
    ({"MAX_JOBS_PER_OWNER": "10", "MAX_JOBS_SUBMITTED": "12"}, {"Jobs": 1, "AllusersJobs": 20}, 0,
     "MAX_JOBS_SUBMITTED"),
    ({"MAX_JOBS_RUNNING": 20}, {"AllusersRunning": 12, "Idle": 3}, 5, "MAX_JOBS_RUNNING"),
    ({"JOB_START_DELAY": "2", "JOB_START_COUNT": "1"}, {"Idle": 10}, 20, "JOB_START_DELAY"),
    ({"MAX_JOBS_PER_OWNER": "100", "JOB_START_DELAY": "0"}, {}, 100, "MAX_JOBS_PER_OWNER")])
def test_the_schedd_s_own_limits(limits: dict[str, Any], jobs: dict[str, int], room: int, why: str) -> None:
    found = ceiling_of(limits, jobs)
    assert found is not None
    assert (found.room, why in found.why) == (room, True)
    made = decide([Work.of({"cpu": 1}, 30)], [], Site(site="here", server="http://x", pace=Pace(step=50),
                  limits=Limits(pilots=50, queued=50)), History(), 0.0, ceiling=found)
    assert sum(order.count for order in made.submit) == min(room, 30)
    assert room >= 30 or any(why in reason for reason in made.reasons)


def test_a_schedd_without_limits_gives_none() -> None:
    assert ceiling_of({}, {"Jobs": 5}) is None
    assert ceiling_of({"MAX_JOBS_RUNNING": "MIN({1, 2})"}, {}) is None
