"""What users can be told of: each event with the words for it, where its page is, and who may hear.

An event here is a name for people; behind it stands a kind of event of the rules (`server/rules/kinds.py`)
and what its facts must be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from server.common.errors import BadRequest

__all__ = ["TOPICS", "Audience", "Told", "Topic", "find", "of_event"]

Facts = Mapping[str, Any]


class Audience(StrEnum):
    """Who may hear of something."""

    EVERYBODY = "users"
    READERS = "who may read the dataset"
    ADMINS = "administrators"
    ALERTS = "who may release alerts"
    WATCHERS = "who watches the request"


@dataclass(frozen=True)
class Told:
    """What is said of one happening."""

    title: str
    text: str
    path: str  # of its page


@dataclass(frozen=True)
class Topic:
    """An event that rules are made for."""

    name: str
    title: str  # for people
    many: str  # after a number
    kind: str
    holds: Callable[[Facts], bool]
    told: Callable[[Facts], Told]
    audience: Audience
    filters: tuple[str, ...] = ()
    owner: str = ""  # the fact that names whose it is


# -- words


def _dataset(facts: Facts) -> Told:
    verb = "is complete" if facts["status"] == "complete" else "ended in errors"
    bad = facts["failed_jobs"]
    failed = f"{bad} of {facts['jobs']} jobs ended in errors." if bad else ""
    text = " ".join(part for part in (failed, f"Owner: {facts['username']}.", facts["description"]) if part)
    return Told(f"dataset {facts['dataset']} {verb}", text, f"/web/datasets/{facts['dataset_id']}")


def _event_of(facts: Facts) -> str:
    return f"run {facts['run_id']} event {facts['event_id']}"


def _scan(facts: Facts) -> Told:
    path = f"/web/scans/{facts['scan_id']}"
    if facts["phase"] != "final":
        return Told(f"scan of {_event_of(facts)} has no map", facts["reason"], path)
    area = facts["area_90_deg2"]
    place = f"RA {facts['ra_deg']:.2f}°, Dec {facts['dec_deg']:+.2f}°" if facts["ra_deg"] is not None else ""
    region = f"90 % region {area:.3g} deg²" if area is not None else ""
    text = ", ".join(part for part in (facts["reco"], place, region) if part)
    return Told(f"scan of {_event_of(facts)} is final", text, path)


def _site(facts: Facts) -> Told:
    by = f" by {facts['username']}" if facts["username"] else ""
    return Told(f"site {facts['name']} is quarantined{by}",
                f"Until {facts['until'][:19].replace('T', ' ')} UTC: {facts['reason']}", "/web/sites")


def _run(facts: Facts) -> Told:
    return Told(f"run {facts['task_id']} of {facts['entry']} failed", facts["detail"],
                f"/web/schedule/{quote(facts['entry'], safe='')}")


def _held(facts: Facts) -> Told:
    test = "TEST: " if facts["is_test"] else ""
    return Told(f"{test}alert {facts['title']} is held",
                f"Revision {facts['revision']} by {facts['reco']} waits for a person: {facts['reason']}",
                f"/web/alerts/{facts['alert_id']}")


def _letter(facts: Facts) -> Told:
    return Told(f"{facts['target']} did not take a notice of {facts['title']}", facts["reason"],
                f"/web/alerts/{facts['alert_id']}")


def _request(facts: Facts) -> Told:
    return Told(f"request {facts['request_id']} on {facts['obj_id']} is {facts['phase']}", facts["status"],
                f"/web/desk/objects/{quote(str(facts['obj_id']), safe='')}")


def _ended(status: str) -> Callable[[Facts], bool]:
    return lambda facts: facts["status"] == status and not facts["of_scan"]


def _always(facts: Facts) -> bool:
    return True


_ALL = (
    Topic("scan_final", "scan final", "scans are final", "scan_ended",
          lambda facts: facts["phase"] == "final", _scan, Audience.EVERYBODY,
          ("own", "recos", "area_below_deg2"), "username"),
    Topic("scan_failed", "scan failed", "scans have no map", "scan_ended",
          lambda facts: facts["phase"] == "failed", _scan, Audience.EVERYBODY, ("own", "recos"), "username"),
    Topic("dataset_complete", "dataset complete", "datasets are complete", "dataset_ended",
          _ended("complete"), _dataset, Audience.READERS, ("own", "groups"), "username"),
    Topic("dataset_errors", "dataset ended in errors", "datasets ended in errors", "dataset_ended",
          _ended("errors"), _dataset, Audience.READERS, ("own", "groups"), "username"),
    Topic("schedule_run_failed", "schedule run failed", "runs of the schedule failed", "schedule_run_failed",
          _always, _run, Audience.EVERYBODY, ("own", "entries"), "owner"),
    Topic("watched_request", "watched request ended", "watched requests ended", "watched_request",
          _always, _request, Audience.WATCHERS),
    Topic("alert_held", "alert held", "alerts are held", "alert_held",
          lambda facts: not facts["replay"], _held, Audience.ALERTS, ("streams", "recos")),
    Topic("dead_letter", "dead letter", "notices were not taken", "dead_letter", _always, _letter,
          Audience.ALERTS, ("streams",)),
    Topic("site_quarantined", "site quarantined", "sites are quarantined", "site_quarantined", _always, _site,
          Audience.ADMINS, ("sites",)),
)

TOPICS: dict[str, Topic] = {topic.name: topic for topic in _ALL}
"""By their names, in the order in which pages show them."""


def find(name: str) -> Topic:
    """A topic. Raises BadRequest."""
    if name not in TOPICS:
        raise BadRequest(f"event: {name[:60]!r} is none of {', '.join(TOPICS)}")
    return TOPICS[name]


def of_event(kind: str, facts: Facts) -> list[Topic]:
    """What users are told of when something happens."""
    return [topic for topic in _ALL if topic.kind == kind and topic.holds(facts)]
