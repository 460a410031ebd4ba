"""Kinds of pilots: by GPUs, by the ClassAds of tasks, and where slots may be taken back."""

from __future__ import annotations

from typing import Any

import msgspec

from grid.base import PLAIN, PilotClass, Traits
from grid.condor import jobs
from grid.condor.coverage import BUSY, IDLE, Pilot, cover
from grid.condor.decide import decide
from grid.condor.demand import Work
from grid.condor.nodes import kinds_of
from grid.condor.pace import History
from grid.condor.shapes import Unserved, offer_of, shape_for
from grid.condor.site import Gpu, Site, Size
from grid.pilot import main
from iceprod.requirements import Fit, class_fit
from tests.unit.condor.test_jobs import FILES, describe
from tests.unit.iceprod.test_devices import AD

SITE = Site(site="here", server="http://x", largest=Size(cores=8, memory=32, disk=100, gpus=2, hours=48))
A100 = Gpu("A100-SXM4-40GB", 49.976, 8.0)
BIG = {"gpu": 1, "gpus_minimum_capability": 7.5, "gpus_minimum_memory": 40.0, "gpus_device_name": "a100"}
ADS = {"classads": {"+Image": '"/cvmfs/a"', "rank": "Memory", "requirements": "TARGET.X =?= true"}}


def preemptible(**pilot: Any) -> Site:
    return msgspec.structs.replace(SITE, pilot=msgspec.structs.replace(SITE.pilot, preemptible=True, **pilot))


def shape(site: Site = SITE, **requirements: Any) -> PilotClass:
    made = shape_for(Work.of(requirements, 1), site)
    assert isinstance(made, PilotClass), made
    return made


def refusal(site: Site, **requirements: Any) -> str:
    made = shape_for(Work.of(requirements, 1), site)
    assert isinstance(made, Unserved)
    return made.why


def test_htcondor_is_asked_for_gpus_that_will_do() -> None:
    made = describe(shape=shape(**BIG))
    assert (made["request_gpus"], made["gpus_minimum_capability"], made["gpus_minimum_memory"]) == (
        "1", "7.5", "38147")
    assert made["require_gpus"] == 'regexp("a100", DeviceName, "i")'
    odd = describe(shape=shape(gpu=1, gpus_device_name="RTX 6000 (x.2)"))
    assert odd["require_gpus"] == 'regexp("RTX 6000 .x.2.", DeviceName, "i")'


def test_what_it_asks_for_a_task_finds_there() -> None:
    for needs in (BIG, ADS, {**BIG, **ADS}):
        assert class_fit(Work.of(needs, 1).class_key, offer_of(shape(**needs))) is Fit.ALL
    assert class_fit(Work.of(ADS, 1).class_key, offer_of(shape(cpu=1))) is Fit.NONE
    assert class_fit(Work.of({"cpu": 1}, 1).class_key, offer_of(shape(**ADS))) is Fit.NONE


def test_the_pool_says_which_gpus_there_are() -> None:
    assert [gpu.name for gpu in kinds_of([AD, AD])] == ["A100-SXM4-40GB", "H100"]
    site = msgspec.structs.replace(SITE, gpus=[A100])
    assert shape(site, **BIG).gpus == 1
    assert refusal(site, gpu=1, gpus_minimum_capability=9.0) == (
        "it needs GPUs of capability 9, and this site has A100-SXM4-40GB (8, 49.976 GB)")
    assert shape(site, gpu=1).gpus == 1


def test_the_tasks_attributes_go_into_the_job() -> None:
    made = describe(shape=shape(**ADS))
    assert (made["My.Image"], made["rank"]) == ('"/cvmfs/a"', "Memory")
    assert made["requirements"].endswith("&& (true) && (TARGET.X =?= true)")
    site = describe(shape=shape(**ADS), classads={"Image": "/ours"})
    assert site["My.Image"] == '"/ours"'  # the site's own comes first


def test_the_pilot_offers_them() -> None:
    made = shape(preemptible(), **{**ADS, "time": 0.5})
    arguments = jobs._arguments(preemptible(), made, "g", FILES, "1.0")
    options = main._options(main.make_parser().parse_args(arguments))
    assert options.traits() == {"classads": ADS["classads"], "preemptible": 1.0}


def test_the_traits_come_back_from_the_job() -> None:
    wanted = shape(**{**BIG, **ADS})
    made = describe(shape=wanted)
    ad: dict[str, Any] = {name: float(made[f"My.{name}"]) for name in jobs.SHAPE}
    ad[jobs.TRAITS] = made[f"My.{jobs.TRAITS}"].strip('"')
    assert not set(ad[jobs.TRAITS]) & set("\"\\$")
    assert jobs.shape_of(ad, "here") == wanted
    assert f"My.{jobs.TRAITS}" not in describe()
    assert jobs.shape_of({**ad, jobs.TRAITS: "not ours"}, "here").traits == PLAIN


def test_a_pilot_of_another_kind_covers_nothing() -> None:
    plain, special = (Pilot(name, PilotClass(4, 8.0, 20.0, 0, 48.0, "here", traits), state, free=free)
                      for name, traits, state, free in (
                          ("1", PLAIN, IDLE, None),
                          ("2", Traits(classads=(("+A", "1"),)), BUSY, {"cpu": 2, "memory": 4, "disk": 9})))
    works = [Work.of({"cpu": 1}, 5), Work.of({"cpu": 1, "classads": {"+A": "1"}}, 5)]
    missing = cover(works, [plain, special]).missing
    assert missing == {works[0].class_key: 1, works[1].class_key: 3}


def test_a_site_lets_through_what_it_says() -> None:
    site = msgspec.structs.replace(SITE, pilot=msgspec.structs.replace(SITE.pilot, task_classads=["Image"]))
    assert refusal(site, **ADS) == (
        "it sets rank, requirements for its job, which this site lets no task do (pilot: task_classads)")
    assert shape(site, classads={"+Image": "1"}).traits.classads == (("+Image", "1"),)


def test_long_tasks_are_not_given_to_slots_that_may_be_taken_back() -> None:
    site = preemptible()
    assert shape(site, time=0.9).lifetime_hours > 0
    assert "takes up to 2 h, and tasks of more than 1 h" in refusal(site, time=2.0)
    assert "does not say how long it takes" in refusal(site, cpu=1)
    assert shape(site, time=20.0, restartable=True)
    assert shape(preemptible(preemptible_hours=3.0), time=2.0)
    assert describe(preemptible())["job_lease_duration"] == "60"
    assert describe()["job_lease_duration"] == "300"


def test_classes_of_one_kind_do_not_keep_each_other_waiting() -> None:
    works = [Work.of({"cpu": 1}, 3), Work.of({"cpu": 1, **ADS}, 2), Work.of({"cpu": 1, **BIG}, 1)]
    made = decide(works, [], SITE, History(), 0.0)
    assert {order.shape.traits for order in made.submit} == {PLAIN, Traits.of(ADS), Traits.of(BIG)}
