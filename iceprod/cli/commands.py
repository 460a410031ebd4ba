"""The commands of `iceprod` by name: where each is, and its line in the list of all.

The lines stand here, too, so that `iceprod --help` imports none of the commands; a test holds them to what
the commands say themselves.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ELSEWHERE", "OURS", "Listed"]


class Listed(NamedTuple):
    """A command of this package: its module, what it is called there, and its line."""

    module: str
    attribute: str
    line: str


OURS: dict[str, Listed] = {
    "abort": Listed("sky.watch", "abort",
        "End a scan before it is done; what it found so far stays readable."),
    "backlog": Listed("sky.backlog", "backlog",
        "Show which scans wait for their start, first to start first, and which were given up, and why."),
    "bench": Listed("benching.bench", "bench", "Measure NAME, one of those that it lists without a name."),
    "completion": Listed("completion", "completion",
        "Print what makes SHELL complete commands and options of `iceprod`."),
    "credentials": Listed("work.credentials", "credentials",
        "Keep credentials for storage: yours, a group's or a dataset's."),
    "demo": Listed("house.demo", "demo",
        "Start everything in a directory of its own, simulate a neutrino event, scan it, and stop again."),
    "doctor": Listed("house.doctor", "doctor",
        "Examine an installation: machine, server, proxy, certificate, database, HTCondor; say what to do."),
    "down": Listed("house.down", "down",
        "Stop everything that `iceprod up` started; running tasks are handed back first."),
    "list": Listed("work.datasets", "list_datasets", "List datasets, the newest last."),
    "logs": Listed("work.logs", "logs",
        "Print what TASK printed when it ran last: head and tail, if it was long."),
    "notify": Listed("work.notify", "notify",
        "Be told by mail, webhook or Slack what happened: your rules, and what they sent."),
    "pilots": Listed("work.places", "pilots",
        "List pilots: where they are, what they run, and when they were last heard of."),
    "replay": Listed("sky.replay", "replay",
        "Play the alerts of DIR (JSON, VOEvents, FITS) through the whole way, and report."),
    "rescan": Listed("sky.again", "rescan",
        "Scan an event once more, as SCAN_ID did, and follow the new scan to its end."),
    "reset": Listed("work.control", "reset",
        "Let tasks of DATASET begin anew: the failed ones, unless an option chooses others."),
    "resume": Listed("work.control", "resume", "Let what was suspended of DATASET go on."),
    "scan": Listed("sky.scan", "scan", "Scan the sky for the direction that EVENT.json came from."),
    "scans": Listed("sky.scans", "scans",
        "List scans, the newest last: their events, states, and best fits so far."),
    "schedule": Listed("work.schedule", "schedule", "Run named actions at their times."),
    "show": Listed("work.datasets", "show",
        "Show one dataset: its tasks by name and status, what they use, and its most frequent errors."),
    "sites": Listed("work.places", "sites",
        "List sites: their pilots, what these offer and run, and what is quarantined or away."),
    "skymap": Listed("sky.skymap", "skymap",
        "Fetch the sky map of a scan as files that other programs read."),
    "status": Listed("house.status", "status", "Tell how the server is, and what it and its pilots do."),
    "submit": Listed("work.submit", "submit",
        "Submit the dataset that CONFIG describes, or a script with a list of files; prints its id."),
    "suspend": Listed("work.control", "suspend",
        "Hold DATASET back: what waits does not start, what runs is stopped and begins anew later."),
    "tasks": Listed("work.datasets", "tasks",
        "List the tasks of DATASET, or of jobs of it as in 5.17 or 5.0-99: where they run, what went wrong."),
    "token": Listed("house.token", "token", "Print a token that the installation's server accepts."),
    "up": Listed("house.up", "up", "Start the store, the server and pilots on this machine."),
    "wait": Listed("work.wait", "wait", "Wait until DATASET is over, and show how far it is."),
    "watch": Listed("sky.watch", "watch", "Follow a scan to its end, as `iceprod scan` does."),
    "web": Listed("house.web", "web",
        "Print an address that logs a browser in, and open it where there is a browser."),
    "why": Listed("work.why", "why",
        "Tell why TASK does not run, or who runs it, and what came of its attempts so far."),
    "workers": Listed("sky.again", "workers", "Ask SITE for NUMBER more workers for a running scan."),
}

ELSEWHERE: dict[str, str] = {
    "archive": "Move ended datasets out of the database into files, and back.",
    "backup": "Write a backup of an installation, which may run meanwhile.",
    "event": "Show what is in the file of an event, without scanning it.",
    "grid": "Keep pilots running: on an HTCondor pool, or on this machine.",
    "pilot": "Lease tasks from a server and run them here.",
    "recos": "List the reconstructions that a scan can use.",
    "restore": "Make an installation out of a backup, in a new directory; `iceprod up` then starts it.",
    "run": "Rehearse one job of CONFIG here, with the pilot's own code, before it is submitted.",
    "simulate": "Simulate a muon track in IceCube and write it as a realtime event.",
    "store": "The embedded store by itself: serve, and look after its files.",
    "systematics": "Tell how far an event's best fit moves when the ice is another.",
}
"""Lines of commands that are found by their entry points; one that is not here is imported for its line."""
