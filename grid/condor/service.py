"""The grid of one site: looks, decides, acts and tells, round after round."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from grid.base import GridError, PilotClass
from grid.bundle import build
from grid.condor import jobs, report
from grid.condor.bindings import load_bindings
from grid.condor.coverage import QUEUED, STARTING, Pilot
from grid.condor.credentials import PilotToken
from grid.condor.decide import Control, Decision, Order, decide
from grid.condor.demand import Work, read_demand
from grid.condor.ends import End
from grid.condor.events import EventLogs
from grid.condor.hosts import Hosts
from grid.condor.nodes import Nodes
from grid.condor.outputs import Outputs
from grid.condor.pace import Ceiling, History, learn
from grid.condor.roster import Roster
from grid.condor.schedd import Schedd
from grid.condor.site import Site
from grid.condor.tracker import LOST, Tracker
from iceprod.client import Client, ClientError, Refused
from iceprod.installation import make_private

__all__ = ["SiteService", "hold_site"]

_PATIENCE = 30.0
_BEAT_SECONDS = 15.0
_LIMIT_SECONDS = 20.0  # between questions about the schedd's own limits
_SCANNER_SECONDS = 900.0  # until pilots for pixels are tried again where there was no scanner
_MOST_UNTOLD = 20_000
_GLANCE_SECONDS = 0.25  # between looks at the event log

log = logging.getLogger("grid.condor")


@contextlib.contextmanager
def hold_site(directory: Path) -> Iterator[None]:
    """Be the only grid that works in a state directory. Raises GridError."""
    make_private(directory)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise GridError(f"another grid works in {directory}") from None
    finally:
        os.close(descriptor)


class SiteService:
    """Keeps the pilots of one site in numbers that fit the demand."""

    def __init__(self, site: Site, client: Client, directory: Path) -> None:
        self.site, self.client, self.directory = site, client, directory
        self.ending = threading.Event()
        self.control, self.history = Control(), History()
        self.decision: Decision | None = None
        self.trouble = ""
        self.ends = report.Log(directory / "ends.json")
        self.pilots: list[Pilot] = []
        self.hosts = Hosts()
        self.grid_id = self.told_trouble = ""
        self._ended: list[End] = []  # not dealt with yet
        self._untold: deque[End] = deque(maxlen=_MOST_UNTOLD)  # what the server did not hear of yet
        self._seen: set[str] = set()  # jobs whose pilots began to work
        self._beaten = self._no_scanner_until = self._asked_limits = float("-inf")
        self._known_ceiling: Ceiling | None = None

    def open(self) -> None:
        """Find the schedd and prepare the files. Raises GridError."""
        self.schedd = Schedd(load_bindings(self.site.condor), self.site.condor)
        for name in ("events", "out"):
            make_private(self.directory / name)
        self.tracker = Tracker(self.site, self.schedd, EventLogs(self.schedd, self.directory / "events"))
        self.outputs = Outputs(self.directory / "out", self.site.keep_logs_hours)
        self.token = PilotToken(self.client, self.site, self.directory / "token", self.schedd.spools)
        self.nodes = Nodes(self.schedd, self.site)
        self.program = build(self.directory / "pilot.pyz")

    def register(self, announce: bool = True) -> None:
        """Become a grid of the server, the same one as before if it still knows it. Raises ClientError."""
        grids = self.client.get("/grids", patience=_PATIENCE)
        host = socket.getfqdn()
        ours = [id for id, grid in grids.items()
                if (grid.get("host"), grid.get("site")) == (host, self.site.site)
                and self.schedd.name in grid.get("queues", {})]
        if ours:
            self.grid_id = max(ours, key=lambda id: grids[id].get("last_update", ""))
            self._obey(grids[self.grid_id])
            self.told_trouble = str(grids[self.grid_id].get("trouble") or "")
        elif announce:
            body = {"host": host, "site": self.site.site, "version": report.VERSION,
                    "queues": {self.schedd.name: "htcondor"}}
            self.grid_id = self.client.post("/grids", body, patience=_PATIENCE)["result"]
        self.roster = Roster(self.client, self.site, self.schedd.name)
        log.info("site %s is grid %s, at the schedd %s", self.site.site, self.grid_id, self.schedd.name)

    def run(self) -> None:
        """Do round after round until `ending`. Raises ClientError when the server does not want us."""
        if not self.grid_id:
            self.open()
            self._register_patiently()
        while not self.ending.is_set():
            next_round = time.monotonic() + self.site.pace.look_seconds
            self.round()
            while not self._is_due(next_round) and not self.ending.wait(_GLANCE_SECONDS):
                pass
        self._beat(force=True)

    def round(self) -> None:
        """Look, decide, act, tell. Troubles of HTCondor and of the server are noted, and survived."""
        before = self.trouble
        try:
            self._follow()
            self.decision = self.consider()
            self._act(self.decision)
            self.trouble = ""
        except (GridError, ClientError) as error:
            self.trouble = str(error)
            if self.trouble != before:
                log.warning("%s", error)
        self._beat(force=self.trouble != before)

    # -- look

    def _is_due(self, next_round: float) -> bool:
        """Whether it is time for a round, or a pilot has just ended whose tasks others can take."""
        try:
            self._ended += self.tracker.glance()
        except GridError as error:
            log.debug("%s", error)
        return bool(self._ended) or time.monotonic() >= next_round

    def look(self) -> None:
        """Find the pilots there are, without doing anything about them. Raises GridError, ClientError."""
        self.tracker.follow()
        self.roster.read()
        self.pilots = self.roster.pilots(self.tracker.jobs, time.time())

    def _follow(self) -> None:
        self._ended += self.tracker.follow()
        ended, self._ended = self._ended, []
        self._settle(ended)
        self.roster.read()
        self._hand_on()
        self.pilots = self.roster.pilots(self.tracker.jobs, time.time())
        self._learn(ended)
        self._settle(self._give_up_silent_ones())

    def _hand_on(self) -> None:
        """Take out pilots that are no more, so that their tasks go to others."""
        gone = self.roster.clean(self.tracker.jobs, self.tracker.restarted)
        lost = []
        for entry in gone:
            log.info("pilot %s (job %s) is no more; %d tasks handed on", entry.pilot_id, entry.job,
                     entry.tasks)
            job = self.tracker.jobs.get(entry.job)
            if job is not None and job.state == LOST:
                lost.append(entry.job)
        self.tracker.restarted -= {entry.job for entry in gone}
        if lost:
            why = "HTCondor lost its machine, and the server hears of it no more"
            self._settle(self.tracker.remove(lost, "lost", why))

    def _settle(self, ended: Iterable[End]) -> None:
        for end in ended:
            text = self.outputs.collect(end)
            self.ends.add(end, text)
            log.log(logging.WARNING if end.is_fault else logging.INFO, "pilot %s on %s after %.0f s: %s: %s",
                    end.id, end.host or "no machine", end.lived, end.kind, end.reason)
            if text:
                self._store(end, text)
            self._untold.append(end)
        self._tell_ends()

    def _tell_ends(self) -> None:
        """Tell the server of ends, in their order; what it does not hear now it hears in another round."""
        while self._untold:
            end = self._untold[0]
            try:
                self.roster.tell_end(end.id, end.kind, end.reason)
            except Refused as error:
                log.warning("the server refused the end of pilot %s: %s", end.id, error)
            except ClientError as error:
                log.warning("%s", error)
                return
            self._untold.popleft()

    def _learn(self, ended: Iterable[End]) -> None:
        """Make the pace fit: pilots that the server heard of started well, early failures are faults."""
        alive, now = {entry.job for entry in self.roster.entries}, time.monotonic()
        new = alive - self._seen
        self._seen = alive
        for id in new & self.tracker.jobs.keys():
            self.hosts.start(self.tracker.jobs[id].host, now)
        faults = [end.reason for end in ended
                  if end.is_fault and end.lived <= self.site.pace.short_life_seconds
                  and not self._is_fault_of_host(end)]
        self.history = learn(self.history, self.site.pace, len(new), faults, time.time())

    def _is_fault_of_host(self, end: End) -> bool:
        """Whether a pilot failed at a host that gets no more of them, while others are well."""
        before = self._avoided()
        is_alone = self.hosts.fail(end.host, end.reason, time.monotonic())
        if self._avoided() != before:
            log.warning("no more pilots to %s for a while: %s", end.host, end.reason)
        return is_alone

    @property
    def _backs_off(self) -> str:
        """Why nothing is submitted for a while after failures; empty when that is not so."""
        left = self.history.until - time.time()
        return f"no pilots for {left:.0f} s after failures: {self.history.why}" if left > 0 else ""

    def _avoided(self) -> str:
        """The hosts that pilots may not start on, as HTCondor writes lists."""
        return ",".join(one.host for one in self.hosts.excluded(time.monotonic()))

    def _give_up_silent_ones(self) -> list[End]:
        """Remove pilots that run and that the server never heard of."""
        patience = self.site.pilot.register_minutes * 60
        silent = [pilot.id for pilot in self.pilots if pilot.state == STARTING and pilot.seconds > patience]
        if not silent:
            return []
        why = f"the server did not hear of it for {self.site.pilot.register_minutes:g} minutes"
        ended = self.tracker.remove(silent, "silent", why)
        others = [end for end in ended if not self._is_fault_of_host(end)]
        if others:
            self.history = learn(self.history, self.site.pace, 0, [why], time.time())
        return ended

    # -- decide

    def consider(self, demand: list[Work] | None = None) -> Decision:
        """What is due now; nothing is done. Raises ClientError."""
        works = read_demand(self.client, self.site.site, self.grid_id) if demand is None else demand
        return decide(works, self.pilots, self._site_as_found(), self.history, time.time(), self.control,
                      self.nodes.share(), self._ceiling())

    def _ceiling(self) -> Ceiling | None:
        """What the schedd's own limits leave, less what we submitted since we asked."""
        if time.monotonic() - self._asked_limits > _LIMIT_SECONDS:
            self._asked_limits = time.monotonic()
            try:
                self._known_ceiling = self.schedd.ceiling(jobs.constraint(self.site))
            except GridError as error:  # it may refuse to tell, and still take jobs
                log.debug("%s", error)
                self._known_ceiling = None
        return self._known_ceiling

    def _site_as_found(self) -> Site:
        """The site as its file and the pool say, without the scanner while pilots do not find it."""
        if self.site.pilot.pixels and self.roster.lacks_scanner:
            if time.monotonic() > self._no_scanner_until:
                log.warning("pilots find no scanner here; see pilot: python, or set pilot: pixels: false")
            self._no_scanner_until = time.monotonic() + _SCANNER_SECONDS
        site = msgspec.structs.replace(self.site, gpus=self.site.gpus or self.nodes.gpus())
        if time.monotonic() > self._no_scanner_until:
            return site
        without = msgspec.structs.replace(site.pilot, pixels=False)
        return msgspec.structs.replace(site, pilot=without)

    # -- act

    def _act(self, decision: Decision) -> None:
        self.history = decision.history
        if decision.submit or any(pilot.state == QUEUED for pilot in self.pilots):
            self.token.renew()  # queued ones take along what the file holds when they start
        for order in decision.submit:
            self._submit_in_parts(order)
        self.tracker.avoid(self._avoided())
        for rank, ids in decision.ranks:
            self.tracker.rank(ids, rank)
        if decision.remove:
            self._settle(self.tracker.remove(decision.remove, "removed", "nobody needs it"))
        if decision.drain:
            self.roster.drain(decision.drain)
        for reason in decision.reasons if decision.submit or decision.remove or decision.drain else ():
            log.info("%s", reason)

    def _submit_in_parts(self, order: Order) -> None:
        """Submit what was decided, never more at once than the schedd takes. Raises GridError."""
        left, ceiling = order.count, self._known_ceiling
        most = ceiling.per_submit if ceiling is not None and ceiling.per_submit > 0 else left
        while left > 0:
            number = min(left, most)
            self.submit(order.shape, number, order.rank)
            left -= number

    def submit(self, shape: PilotClass, count: int, rank: int = 0) -> list[str]:
        """Submit pilots; the ids of their jobs. Raises GridError, and notes the failure."""
        batch = uuid.uuid4().hex
        files = self.files()
        described = jobs.description(self.site, shape, batch, self.grid_id, files, rank, self._avoided())
        try:
            ids = self.schedd.submit(described, count, jobs.batch_constraint(batch))
        except GridError as error:
            self.history = learn(self.history, self.site.pace, 0, [str(error)], time.time())
            raise
        self.tracker.add(ids, shape, files.log, rank, self._avoided(), batch)
        if self._known_ceiling is not None:
            self._known_ceiling = self._known_ceiling.after(len(ids))
        return ids

    def files(self) -> jobs.Files:
        """Where the files of pilots are that are submitted now."""
        return jobs.Files(self.program, self.token.path, self._event_log(), self.outputs.directory,
                          self.schedd.name, self.schedd.version, self.schedd.spools)

    def _event_log(self) -> Path:
        """Today's event log, which HTCondor appends to."""
        path = self.directory / "events" / time.strftime("%Y-%m-%d.log", time.gmtime())
        if not path.exists():
            path.touch(mode=0o600)
            self.tracker.tidy(path)
        return path

    # -- tell

    def _beat(self, force: bool = False) -> None:
        if not force and time.monotonic() - self._beaten < min(_BEAT_SECONDS, self.site.pace.look_seconds):
            return
        self.ends.save()
        site = msgspec.structs.replace(self.site, gpus=self.site.gpus or self.nodes.gpus())
        body = report.body(site, self.pilots, self.ends, self.decision, self.trouble,
                           (self.schedd.name, self.schedd.version), self.control.state,
                           self.hosts.excluded(time.monotonic()), self._backs_off, self.tracker.queue_seconds)
        try:
            self._obey(self.client.patch(f"/grids/{self.grid_id}", body))
            self._beaten = time.monotonic()
        except Refused as error:
            log.warning("heartbeat refused: %s", error)
            if error.status == 404:
                with contextlib.suppress(ClientError):
                    self.register()
        except ClientError as error:
            log.warning("no heartbeat: %s", error)

    def _obey(self, grid: dict[str, object]) -> None:
        try:
            control = report.read_control(grid)
        except msgspec.ValidationError as error:
            log.warning("the server's wish for this site is not understood: %s", error)
            return
        if control != self.control:
            log.info("now %s, limit %s %s", control.state, control.limit, control.reason)
        self.control = control

    def _store(self, end: End, text: str) -> None:
        """Keep what a dead pilot printed where people look for logs."""
        with contextlib.suppress(ClientError):
            self.client.post("/logs", {"name": "pilot", "data": text, "pilot": end.id, "site": self.site.site,
                                       "reason": f"{end.kind}: {end.reason}"})

    def _register_patiently(self) -> None:
        while not self.ending.is_set():
            try:
                self.register()
            except Refused:
                raise
            except ClientError as error:
                log.warning("%s", error)
                self.ending.wait(1.0)
            else:
                return
