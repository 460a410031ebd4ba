"""What each command prints with ``--json``: one object, whose keys stay; later versions only add some.

A text in place of a struct names the route of the REST API whose answer is handed on. The reference is
written from this table, and a test runs every command and compares.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from iceprod.cli.common.bench_shapes import BenchAll, BenchCompared, Benches, BenchPages, BenchTables
from iceprod.cli.common.shape import Shape, Struct

__all__ = ["LINES", "SHAPES", "SILENT", "Failed", "Shape"]


_Rows = list[dict[str, Any]]
_Fields = dict[str, Any]


class Failed(Struct):
    """What every command prints when it fails."""

    error: Annotated[str, Meta(description="what is wrong, as on standard error")]
    exit_status: int


class Up(Struct):
    url: str
    data: Annotated[str, Meta(description="the directory")]
    already_running: bool


class Down(Struct):
    data: Annotated[str, Meta(description="the directory")]
    stopped: Annotated[bool, Meta(description="false: nothing ran")]


class Web(Struct):
    address: Annotated[str, Meta(description="logs in once")]
    user: str
    roles: list[str]


class Token(Struct):
    token: str
    user: str
    roles: list[str]
    hours: float


class Status(Struct):
    server: Annotated[str, Meta(description="its address")]
    health: Annotated[_Fields, Meta(description="as `GET /healthz`")]
    pilots: Annotated[dict[str, int] | UnsetType, Meta(description="by site")] = UNSET
    tasks_running: int | UnsetType = UNSET
    tasks: Annotated[dict[str, int] | UnsetType, Meta(description="by status")] = UNSET
    datasets: Annotated[dict[str, int] | UnsetType, Meta(description="by status")] = UNSET
    scans_waiting: int | UnsetType = UNSET


class Finding(Struct):
    check: Annotated[str, Meta(description="what was looked at")]
    state: Annotated[str, Meta(description="`ok`, `odd`, `wrong` or `left out`")]
    text: Annotated[str, Meta(description="what was found")]
    advice: Annotated[str, Meta(description="what to do; empty where nothing is")]


class Examined(Struct):
    wrong: Annotated[int, Meta(description="how many findings")]
    odd: Annotated[int, Meta(description="how many findings")]
    findings: list[Finding]


class Demo(Struct):
    directory: str
    event: Annotated[str, Meta(description="the file")]
    result: Annotated[str, Meta(description="the file, in icecube-skyreader's format")]
    skymap: Annotated[str, Meta(description="the picture of the sky")]
    zoom: Annotated[str, Meta(description="the picture around the best fit")]
    running: Annotated[bool, Meta(description="whether it was left running (`--keep`)")]


class BestFit(Struct):
    ra_deg: float
    dec_deg: float
    llh: Annotated[float, Meta(description="−ln L")]
    nside: int
    pixel: int


class Scan(Struct):
    scan_id: str
    address: Annotated[str, Meta(description="of its page")]
    run_id: int | None
    event_id: int | None
    reco_algo: Annotated[str, Meta(description="as it was asked for")]
    best_fit: BestFit
    reconstruction: Annotated[Any, Meta(description="that computed it")]
    choice: Annotated[_Fields | None, Meta(description="of `auto`: `reco`, `sureness`, `why`")]
    area_50_deg2: float | None
    area_90_deg2: float | None
    level_set: Annotated[str, Meta(description="that bounds the areas")]
    area_50_limits: Annotated[str, Meta(description="in words, when the map limits it")]
    area_90_limits: str
    energy: _Fields | None
    levels: Annotated[_Rows, Meta(description="`nside`, `pixels`")]
    pixels: int
    wall_s: float | None
    cpu_s: float | None
    files: Annotated[dict[str, str], Meta(description="paths by kind")]
    truth: Annotated[dict[str, float] | UnsetType, Meta(description="of a simulated event")] = UNSET
    distance_deg: Annotated[float | UnsetType, Meta(description="of the best fit from it")] = UNSET


class Aborted(Struct):
    scan_id: str
    aborted: bool


class Scans(Struct):
    scans: Annotated[_Rows, Meta(description="`number`, `scan_id`, `started`, `run_id`, `event_id`, `state`, "
                                             "`pixels`, `pixels_total`, `ra_deg`, `dec_deg`, `is_final`")]


class Backlog(Struct):
    waiting: _Rows
    given_up: Annotated[_Rows, Meta(description="with `reason`")]


class SkymapFiles(Struct):
    scan_id: str
    is_final: bool
    files: Annotated[dict[str, str], Meta(description="paths by name")]


class SkymapList(Struct):
    """With `--list`."""

    products: Annotated[_Rows, Meta(description="`name`, `format`, `levels`, `description`, `path`")]


class Submitted(Struct):
    dataset_id: str
    number: Annotated[int | None, Meta(description="the short id")]
    address: Annotated[str, Meta(description="of its page")]
    description: str
    jobs_submitted: int
    tasks_per_job: int
    tasks_submitted: int
    group: str
    priority: float


class Checked(Struct):
    """With `--dry-run`."""

    valid: bool
    description: str
    jobs_submitted: int
    tasks_per_job: int
    tasks_submitted: int
    group: str
    priority: float
    files: Annotated[_Rows | UnsetType, Meta(description="who can move them, if a server was asked")] = UNSET


class Datasets(Struct):
    datasets: Annotated[_Rows, Meta(description="`dataset` (the number), `dataset_id`, `status`, `username`, "
                                                "`jobs_submitted`, `jobs_complete` (null: not asked), "
                                                "`description`")]


class Dataset(Struct):
    dataset: Annotated[_Fields, Meta(description="as `GET /datasets/{dataset_id}`")]
    tasks: Annotated[dict[str, dict[str, int]], Meta(description="by name and status")]
    usage: Annotated[_Rows, Meta(description="used and asked, by name")]
    errors: Annotated[_Rows, Meta(description="`count`, `example`, `tasks`; most frequent first")]


class Tasks(Struct):
    tasks: Annotated[_Rows, Meta(description="`task` (the short id), `task_id`, `name`, `status`, `site`, "
                                             "`failures`, `evictions`, `reason`")]


class Logs(Struct):
    task_id: str
    logs: Annotated[_Rows, Meta(description="`name`, `timestamp`, `data`")]


class LogLine(Struct):
    """With `--follow`, on each line."""

    status: Annotated[str | UnsetType, Meta(description="the task's, when it changed")] = UNSET
    reason: str | UnsetType = UNSET
    log: Annotated[_Fields | UnsetType, Meta(description="what an attempt left, as without")] = UNSET


class Changed(Struct):
    dataset_id: str
    action: str
    dataset_status: str
    before: Annotated[dict[str, int], Meta(description="tasks by status")]
    after: dict[str, int]


class Waited(Struct):
    status: str
    tasks: Annotated[dict[str, int], Meta(description="by status")]
    tasks_submitted: int
    reason: Annotated[str, Meta(description="why jobs cannot be made")]
    dataset_id: str


class Sites(Struct):
    sites: Annotated[_Rows, Meta(description="`site`, `pilots`, `tasks`, `offered`")]
    quarantine: _Rows
    breakers: Annotated[_Rows, Meta(description="storage that is away")]
    grids: Annotated[_Rows, Meta(description="those in trouble")]
    tests: Annotated[_Fields, Meta(description="by site")]


class Pilots(Struct):
    pilots: Annotated[_Rows, Meta(description="as `GET /pilots`")]


class Credentials(Struct):
    credentials: Annotated[_Rows, Meta(description="`url`, `type` and so on, without secrets")]


class Credential(Struct):
    url: str
    type: str


class Forgotten(Struct):
    url: str


class RuleGone(Struct):
    rule_id: str


class Entries(Struct):
    entries: Annotated[_Rows, Meta(description="as `GET /api/v1/schedule/`")]


class Actions(Struct):
    actions: Annotated[_Rows, Meta(description="`name`, `summary`, `admin_only` and so on")]


class Runs(Struct):
    runs: Annotated[_Rows, Meta(description="the newest first")]


class Archive(Struct):
    """With `--archive`."""

    file: str
    bytes: int


class Deleted(Struct):
    deleted: Annotated[str, Meta(description="the entry")]


class Replay(Struct):
    replay: Annotated[str, Meta(description="its name")]
    alerts: int
    states: Annotated[dict[str, int], Meta(description="how many alerts are in each")]
    open: Annotated[int, Meta(description="alerts still at work")]
    latency_seconds: Annotated[_Fields, Meta(description="by step: `p50`, `p90`, `p99`")]
    gate: Annotated[_Fields, Meta(description="by check: `passed`, `failed`")]
    events: _Rows


class GridPlan(Struct):
    """With `--dry-run`."""

    site: str
    schedd: str
    pilots: Annotated[dict[str, int], Meta(description="by state")]
    submit: Annotated[_Rows, Meta(description="`count`, and the shape of the pilots")]
    remove: list[str]
    drain: list[str]
    reasons: list[str]
    unserved: Annotated[_Rows, Meta(description="`waiting`, `text`, `why`")]
    trouble: Annotated[str, Meta(description="of the grid that runs; the exit status is 1")]


class Grids(Struct):
    grids: Annotated[_Rows, Meta(description="as `GET /grids`")]


class Wished(Struct):
    site: str
    state: str


class Maintenance(Struct):
    site: str
    starts: str
    ends: str


class Limited(Struct):
    site: str
    limit: Annotated[int | None, Meta(description="null: as many as its site file says")]


class Pilot(Struct):
    """When it ends."""

    pilot_id: Annotated[str, Meta(description="empty when the server never took it")]
    site: str
    tasks: Annotated[int, Meta(description="leased")]
    faults: Annotated[int, Meta(description="tasks in a row at the end that could not run here")]


class Rehearsed(Struct):
    good: bool
    directory: Annotated[str, Meta(description="where its files are; empty when it was removed")]
    tasks: Annotated[_Rows, Meta(description="`task`, `outcome`, `reason`, `used`, `logs`")]


class Planned(Struct):
    """With `--print`."""

    tasks: Annotated[_Rows, Meta(description="`task`, `requirements`, `container`, `files`, `commands`")]


class Simulated(Struct):
    file: str
    run_id: int
    event_id: int
    pulses: int
    truth: Annotated[dict[str, float], Meta(description="`ra_deg`, `dec_deg`, `zenith_deg`, `azimuth_deg`")]


class Event(Struct):
    file: str
    can_scan: bool
    problem: Annotated[str, Meta(description="why not")]
    run_id: int | None
    subrun_id: int | None
    event_id: int | None
    time: str | None
    mjd: float | None
    stream: str
    is_real: bool | None
    generation: str
    frames: dict[str, int]
    cleaned: Annotated[int, Meta(description="pulses")]
    pulse_maps: Annotated[_Rows, Meta(description="`key`, `pulses`, `modules`, `charge`, `problem`")]
    recos: Annotated[_Rows, Meta(description="stored directions")]
    missing: list[str]
    skipped: list[str]
    scan_with: Annotated[list[str], Meta(description="reconstructions that can scan it")]
    not_with: Annotated[dict[str, str], Meta(description="reconstructions that cannot scan it, and why")]


class Systematics(Struct):
    run_id: int
    event_id: int
    reco: str
    fits: Annotated[_Rows, Meta(description="the best fit in each ice")]
    level_set: str
    radius_50_deg: float


class Sound(Struct):
    sound: bool
    problems: list[str]
    repairs: list[str]


class StoreSize(Struct):
    documents: dict[str, int]
    file_bytes: int
    warnings: list[str]


class Copied(Struct):
    documents: Annotated[dict[str, int], Meta(description="by collection")]


class StoreBench(Struct):
    machine: str
    versions: Annotated[dict[str, str], Meta(description="of the stores")]
    missing: Annotated[list[str], Meta(description="stores that are not installed")]
    measurements: _Rows


class Backup(Struct):
    made: Annotated[str, Meta(description="UTC")]
    schema: int
    database: str
    documents: Annotated[dict[str, int], Meta(description="by collection")]


class Archived(Struct):
    dataset: int
    dataset_id: str
    file: str
    bytes: Annotated[int, Meta(description="of the file")]
    documents: Annotated[dict[str, int], Meta(description="by collection")]


class Archiving(Struct):
    dry_run: bool
    chosen: Annotated[_Rows, Meta(description="`dataset`, `dataset_id`")]
    archived: Annotated[list[Archived], Meta(description="none with `--dry-run`")]
    left: Annotated[_Rows, Meta(description="with `--ended-before`: `dataset`, `dataset_id`, `reason`")]


class Archives(Struct):
    archives: Annotated[_Rows, Meta(description="`dataset`, `dataset_id`, `description`, `state` (`writing`, "
                                                "`removing`, `archived`, `restoring`), `since`, `file`, "
                                                "`documents`")]


_ENTRY = "GET /api/v1/schedule/{name}/"

SHAPES: dict[str, tuple[Shape, ...]] = {
    "up": (Up,), "down": (Down,), "web": (Web,), "token": (Token,), "status": (Status,), "demo": (Demo,),
    "doctor": (Examined,),
    "bench": (Benches,), "bench all": (BenchAll,), "bench compare": (BenchCompared,),
    "bench figures": (BenchTables, BenchPages),
    "scan": (Scan,), "watch": (Scan,), "rescan": (Scan,), "abort": (Aborted,), "scans": (Scans,),
    "workers": ("POST /scan/{scan_id}/actions/add-workers",), "backlog": (Backlog,),
    "skymap": (SkymapFiles, SkymapList), "replay": (Replay,),
    "submit": (Submitted, Checked), "list": (Datasets,), "show": (Dataset,), "tasks": (Tasks,),
    "why": ("GET /tasks/{task_id}/explain",), "logs": (Logs, LogLine), "suspend": (Changed,),
    "resume": (Changed,), "reset": (Changed,), "wait": (Waited,), "sites": (Sites,), "pilots": (Pilots,),
    "credentials list": (Credentials,), "credentials add": (Credential,), "credentials remove": (Forgotten,),
    "notify list": ("GET /notification_rules",), "notify add": ("POST /notification_rules",),
    "notify remove": (RuleGone,), "notify test": ("GET /notifications/{key}",),
    "notify log": ("GET /notifications",),
    "schedule list": (Entries,), "schedule actions": (Actions,), "schedule history": (Runs, Archive),
    "schedule delete": (Deleted,), **{f"schedule {name}": (_ENTRY,) for name in (
        "show", "create", "pause", "resume", "run")},
    "grid": (GridPlan,), "grid list": (Grids,), "grid pause": (Wished,), "grid drain": (Wished,),
    "grid resume": (Wished,), "grid maintenance": (Maintenance,), "grid limit": (Limited,),
    "pilot": (Pilot,), "run": (Rehearsed, Planned),
    "simulate": (Simulated,), "event": (Event,), "systematics": (Systematics,), "recos": ("GET /recos",),
    "store check": (Sound,), "store size": (StoreSize,), "store dump": (Copied,), "store restore": (Copied,),
    "store bench": (StoreBench,),
    "backup": (Backup,), "restore": (Backup,),
    "archive datasets": (Archiving,), "archive list": (Archives,), "archive restore": (Archived,),
}
"""By what one types after ``iceprod``; several where an option makes it say something else."""

LINES = {"logs": "with `--follow` one object on each line, as it comes"}
"""Commands that print more than one object, and when."""

SILENT = {
    "completion": "prints a script for a shell",
    "store serve": "runs until it is stopped, and logs to standard error",
}
"""Commands without an object of documented keys, and why."""
