"""The few things that we ask of HTCondor's queue, with errors that say what was asked.

A daemon that was restarted refuses the first call of an old session, so everything is tried twice; a submit
is looked for before it is repeated.
"""

from __future__ import annotations

import contextlib
import getpass
import socket
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from grid.base import GridError
from grid.condor.bindings import Bindings
from grid.condor.pace import Ceiling, ceiling_of
from grid.condor.site import Condor

__all__ = ["Ad", "Schedd"]

_T = TypeVar("_T")
Ad = dict[str, Any]

_LIMITS = ("MAX_JOBS_PER_OWNER", "MAX_JOBS_PER_SUBMISSION", "MAX_JOBS_SUBMITTED", "JOB_START_COUNT",
           "JOB_START_DELAY")
_COUNTS = ("Jobs", "Idle", "AllusersJobs", "AllusersRunning")
_REASON_CODE = 4100  # of our own removals, whatever


class Schedd:
    """One access point's queue."""

    def __init__(self, bindings: Bindings, condor: Condor) -> None:
        self._condor2, self._classad2 = bindings.htcondor, bindings.classad
        self._condor = condor
        self.name = condor.schedd or str(self._condor2.param.get("SCHEDD_NAME") or socket.getfqdn())
        self.version, self._machine = "", ""
        self._schedd = self._once("find the schedd", self._locate)

    def submit(self, description: dict[str, str], count: int, own: str) -> list[str]:
        """Submit `count` equal jobs; their ids. `own` is a constraint that these jobs alone meet.

        When the answer got lost, the jobs are found by it and not submitted again. Raises GridError.
        """
        submit = self._once("read the submit description", lambda: self._condor2.Submit(description))
        try:
            cluster = self._submitted(submit, count)
        except self._condor2.HTCondorException:
            found = self.query(own, [])
            if found:
                return [ad["Id"] for ad in found]
            cluster = self._once("submit", lambda: self._submitted(submit, count))
        return [f"{cluster}.{proc}" for proc in range(count)]

    @property
    def spools(self) -> bool:
        """Whether jobs' files travel to the schedd and back, for it shares no files with us."""
        if self._condor.spool != "auto":
            return self._condor.spool == "always"
        here = {socket.gethostname(), socket.getfqdn(), str(self._condor2.param.get("FULL_HOSTNAME") or "")}
        return bool(self._condor.schedd and self._machine) and self._machine not in here

    def fetch(self, ids: Sequence[str]) -> None:
        """Bring back what jobs wrote whose files travel. Raises GridError."""
        if ids:
            self._call("fetch outputs", lambda: self._schedd.retrieve(_any_of(ids)))

    def query(self, constraint: str, names: Sequence[str]) -> list[Ad]:
        """Jobs in the queue. Raises GridError."""
        wanted = ["ClusterId", "ProcId", *names]
        ads = self._call("query the queue", lambda: self._schedd.query(constraint, wanted))
        return [self._plain(ad, wanted) for ad in ads]

    def history(self, ids: Sequence[str], names: Sequence[str]) -> list[Ad]:
        """Jobs that left the queue, as far as HTCondor remembers them. Raises GridError."""
        wanted = ["ClusterId", "ProcId", *names]
        found: list[Ad] = []
        for start in range(0, len(ids), 100):
            some = ids[start:start + 100]
            ads = self._call("read the history", partial(self._remembered, _any_of(some), wanted, len(some)))
            found += [self._plain(ad, wanted) for ad in ads]
        return found

    def remove(self, ids: Iterable[str], why: str) -> None:
        """Remove jobs; unknown ones are ignored. Raises GridError."""
        names = list(ids)
        for start in range(0, len(names), 500):
            some = names[start:start + 500]
            self._call("remove jobs", partial(self._removed, some, why))

    def edit(self, ids: Iterable[str], name: str, value: str) -> None:
        """Set an attribute of jobs, those that are over aside. Raises GridError."""
        names = list(ids)
        for start in range(0, len(names), 500):
            self._call("edit jobs", partial(self._edited, names[start:start + 500], name, value))

    def machines(self, constraint: str) -> list[Ad]:
        """What the machines of the pool have that divide themselves among jobs. Raises GridError."""
        names = ["Machine", "TotalSlotCpus", "TotalSlotMemory", "TotalSlotDisk"]
        collector = self._condor2.Collector(self._condor.collector or None)
        wanted = f"PartitionableSlot && ({constraint or 'true'})"
        kind = self._condor2.AdType.Startd
        ads = self._once("query the pool", lambda: collector.query(kind, wanted, names))
        return [self._values(ad, names) for ad in ads]

    def gpus(self, constraint: str) -> list[str]:
        """The ads, as text, of the machines of the pool that have GPUs. Raises GridError."""
        collector = self._condor2.Collector(self._condor.collector or None)
        wanted = f"PartitionableSlot && TotalGPUs > 0 && ({constraint or 'true'})"
        kind = self._condor2.AdType.Startd
        ads = self._once("query the pool's GPUs", lambda: collector.query(kind, wanted))
        return [ad.printOld() if hasattr(ad, "printOld") else str(ad) for ad in ads]

    def ceiling(self, ours: str) -> Ceiling | None:
        """What the schedd's own limits leave us; None where it tells of none. `ours` is met by jobs of ours.

        Raises GridError.
        """
        limits = self._once("ask for the schedd's limits", self._limits)
        if not limits:
            return None
        known = self._call("find our jobs", lambda: self._schedd.query(ours, ["Owner"], limit=1))
        owner = str(known[0].get("Owner")) if known else getpass.getuser()
        summary = self._condor2.QueryOpt.SummaryOnly
        mine = f'Owner == "{owner}"'
        ads = self._call("count the jobs", lambda: self._schedd.query(mine, [], opts=summary))
        return ceiling_of(limits, self._values(ads[0], _COUNTS) if ads else {})

    def _limits(self) -> dict[str, Any]:
        """The schedd's settings, as far as it shows them to us."""
        collector = self._condor2.Collector(self._condor.collector or None)
        wanted = f'Name == "{self.name}"'
        ads = collector.query(self._condor2.AdType.Schedd, wanted)
        if not ads:
            return {}
        limits: dict[str, Any] = {"MAX_JOBS_RUNNING": ads[0].get("MaxJobsRunning")}
        settings = self._condor2.RemoteParam(ads[0])
        for name in _LIMITS:
            with contextlib.suppress(self._condor2.HTCondorException, KeyError):
                limits[name] = settings[name]
        return limits

    def events(self, path: str) -> Any:
        """An iterator over a job event log, from its beginning. Raises GridError."""
        return self._once("read the event log", lambda: self._condor2.JobEventLog(path))

    def log_error(self) -> type[Exception]:
        """What reading an event log raises, besides OSError."""
        return self._condor2.HTCondorException

    # -- inside

    def _locate(self) -> Any:
        """The schedd; with its name and version, as far as the collector can be asked."""
        kind = self._condor2.DaemonType.Schedd
        if not (self._condor.collector or self._condor.schedd):
            schedd = self._condor2.Schedd()
            with contextlib.suppress(self._condor2.HTCondorException):
                self._describe(self._condor2.Collector().locate(kind))
            return schedd
        ad = self._condor2.Collector(self._condor.collector or None).locate(kind, self._condor.schedd or None)
        self._describe(ad)
        return self._condor2.Schedd(ad)

    def _remembered(self, constraint: str, names: list[str], count: int) -> list[Any]:
        return list(self._schedd.history(constraint, names, match=count))

    def _removed(self, ids: list[str], why: str) -> None:
        self._schedd.act(self._condor2.JobAction.Remove, ids, (why, _REASON_CODE))

    def _edited(self, ids: list[str], name: str, value: str) -> None:
        self._schedd.edit(_any_of(ids), name, value)

    def _describe(self, ad: Any) -> None:
        self.name, self._machine = str(ad.get("Name", self.name)), str(ad.get("Machine", ""))
        self.version = str(ad.get("CondorVersion", "")).replace("$", "").strip() or self.version

    def _submitted(self, submit: Any, count: int) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about macros that HTCondor does not know
            result = self._schedd.submit(submit, count=count, spool=self.spools)
            if self.spools:
                self._schedd.spool(result)
            return int(result.cluster())

    def _call(self, what: str, call: Callable[[], _T]) -> _T:
        """Try, and try again with the schedd looked up anew."""
        try:
            return call()
        except (self._condor2.HTCondorException, OSError):
            self._schedd = self._once(what, self._locate)
        return self._once(what, call)

    def _once(self, what: str, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except (self._condor2.HTCondorException, OSError) as error:
            raise GridError(f"cannot {what}: {_text(error)}") from None

    def _plain(self, ad: Any, names: Sequence[str]) -> Ad:
        """The ad's attributes as Python values; those that are undefined are left out."""
        plain = self._values(ad, names)
        plain["Id"] = f"{plain['ClusterId']}.{plain['ProcId']}"
        return plain

    def _values(self, ad: Any, names: Sequence[str]) -> Ad:
        plain: Ad = {}
        for name in names:
            value = ad.get(name)
            if isinstance(value, self._classad2.ExprTree):
                value = value.eval(ad)
            if value is not None and not isinstance(value, self._classad2.Value):
                plain[name] = value
        return plain


def _any_of(ids: Sequence[str]) -> str:
    pairs = (name.split(".") for name in ids)
    return " || ".join(f"(ClusterId == {int(cluster)} && ProcId == {int(proc)})" for cluster, proc in pairs)


def _text(error: Exception) -> str:
    """HTCondor's own words in one line."""
    return " ".join(str(error).split())[:500] or type(error).__name__
