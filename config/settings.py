"""Typed settings: defaults, then a YAML file, then the environment.

An environment variable names its setting by path, with two underscores between the parts:
``ICEPROD__SERVER__PORT=9000`` sets ``server.port``. Its value is read as YAML.
Unknown names are refused with the nearest known one.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints
from urllib.parse import parse_qsl, urlsplit

import msgspec
import re2
import yaml

from config.alerts import Alerts
from config.notify import Notify
from config.parts import Part

__all__ = ["Part", "Settings", "SettingsError", "load", "read_document", "read_part"]

ENVIRONMENT_PREFIX = "ICEPROD__"
MOST_PROCESSES = 64  # of the server, at one port
LEAST_WATCHDOG = 2.0  # seconds; a busy server answers more slowly at times
_PATTERNS = re2.Options()
_PATTERNS.log_errors = False


class SettingsError(ValueError):
    """A setting is unknown or has a wrong value; the text names the setting and what was expected."""


_P = TypeVar("_P", bound=Part)

_FORGETS = {
    ("w", "0"): "nobody would learn which writes failed",
    ("w", "1"): "what is acknowledged would be lost with the primary that has it alone",
    ("journal", "false"): "what is acknowledged would be lost when the power fails",
}
_STALE = "rules would read from a member that does not have yet what they have just written"


class Server(Part, frozen=True):
    """The REST server's address and limits."""

    host: str = "127.0.0.1"  # the address to listen on; 0.0.0.0: all of them
    port: int = 8080  # 0: any free one
    public_url: str = ""  # how clients reach us, when that is not http://host:port
    max_body_mb: int = 64  # larger requests are refused
    # networks whose X-Forwarded-For or Forwarded says who asks
    trusted_proxies: list[str] = msgspec.field(default_factory=list)
    shutdown_seconds: float = 5.0  # how long requests may take to end when the server stops
    watchdog_seconds: float = 60.0  # a server process that hangs so long is started again; 0: never
    processes: int = 1  # how many of them `iceprod up` starts behind the one port
    peers_host: str = ""  # where servers hear each other; empty: the address that reaches the database
    peers_port: int = 0  # UDP, the first that is free from this one on; 0: any free one

    def __post_init__(self) -> None:
        if not 1 <= self.processes <= MOST_PROCESSES:
            raise ValueError(f"processes: from 1 to {MOST_PROCESSES}, not {self.processes}")
        if self.watchdog_seconds and not self.watchdog_seconds >= LEAST_WATCHDOG:
            raise ValueError(f"watchdog_seconds: 0, or from {LEAST_WATCHDOG:g} on, "
                             f"not {self.watchdog_seconds:g}")
        for name in self.trusted_proxies:
            try:
                ip_network(name, strict=False)
            except ValueError as error:
                raise ValueError(f"trusted_proxies: {error}") from None


class Database(Part, frozen=True):
    """Where state lives. An empty url means: start the embedded store."""

    url: str = ""  # mongodb://…; empty: the embedded store
    name: str = "iceprod"  # which database of that server
    most_tasks: int = 10_000_000  # of the embedded store; submissions beyond: 507; 0: as its disk allows

    def __post_init__(self) -> None:
        if self.most_tasks < 0:
            raise ValueError("most_tasks: must not be negative")
        for name, value in parse_qsl(urlsplit(self.url).query):
            number = value.strip().lstrip("+")  # as the driver reads one
            option = (name.lower(), str(int(number)) if number.isdecimal() else value.lower())
            why = _STALE if option[0] == "readpreference" and option[1] != "primary" else _FORGETS.get(option)
            if why:
                raise ValueError(f"url: with {name}={value} {why}; leave it out")


class Tokens(Part, frozen=True):
    """Our own tokens, signed with a secret that is made at the first start."""

    secret_file: str = "secret"  # relative to the data directory
    issuer: str = "iceprod"  # who signs, as it stands in our tokens
    hours: float = 24.0  # how long a token is valid when nobody says
    revocation_seconds: float = 5.0  # a revoked token is refused everywhere after so long at the latest


class Oidc(Part, frozen=True):
    """An issuer of tokens that are accepted beside our own (OpenID Connect). Without a URL there is none.

    Rules read ``claim=pattern``: the claim by its path, the pattern a regular expression (RE2) for the whole
    value.
    """

    issuer: str = ""  # its URL, as it stands in its tokens
    audiences: list[str] = msgspec.field(default_factory=list)  # a token must be meant for one of them
    username_claim: str = "preferred_username"  # the claim that has the name of the user
    # each role with the rules that give it
    roles: dict[str, list[str]] = msgspec.field(default_factory=lambda: {
        "admin": ["groups=/tokens/IceProdAdmins"],
        "user": ["groups=/institutions/IceCube.*", "resource_access.skydriver-external.roles=users"],
        "system": ["resource_access.iceprod.roles=iceprod-system",
                   "resource_access.skydriver-internal.roles=system"],
    })
    # each group with the rules that make one its member
    groups: dict[str, list[str]] = msgspec.field(default_factory=lambda: {
        "admin": ["groups=/tokens/IceProdAdmins"],
        "simprod": ["groups=/posix/simprod-submit"],
        "filtering": ["groups=/posix/i3filter"],
        "users": ["groups=/institutions/IceCube.*"],
    })
    client_id: str = ""  # who we are to the issuer when people log in to the web pages; empty: they cannot
    client_secret: str = ""  # empty for a public client, which PKCE alone protects
    scope: str = "openid profile"  # what we ask the issuer to tell of a user who logs in here
    session_hours: float = 8.0  # how long a login to the web pages lasts
    keys_seconds: float = 3600.0  # how long the issuer's keys are good before they are asked for again
    retry_seconds: float = 10.0  # not more often, whatever tokens say
    timeout_seconds: float = 10.0  # for an answer of the issuer
    leeway_seconds: float = 10.0  # between the issuer's clock and ours

    def __post_init__(self) -> None:
        if self.issuer and not self.audiences:
            raise ValueError("oidc.audiences is empty: tokens meant for anybody else would be accepted")
        rules = [rule for rules in (*self.roles.values(), *self.groups.values()) for rule in rules]
        for rule in rules:
            claim, equals, pattern = rule.partition("=")
            if not claim or not equals:
                raise ValueError(f"oidc: expected claim=pattern, got {rule!r}")
            try:
                re2.compile(pattern, _PATTERNS)
            except re2.error as error:
                raise ValueError(f"oidc: {rule!r}: not a regular expression that RE2 knows: "
                                 f"{_said(error)}") from None


def _said(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return text.decode("utf8", "replace") if isinstance(text, bytes) else str(text)


class Login(Part, frozen=True):
    """Logging in by name and password. Without an LDAP server nobody can."""

    ldap_url: str = ""  # such as ldaps://ldap.example.org
    ldap_user_dn: str = "uid={},ou=people"  # {} stands for the name
    ldap_ca_file: str = ""  # whom to trust about the server's certificate; empty: the system's authorities
    ldap_start_tls: bool = False  # encrypt a connection to an ldap:// URL
    tries: int = 10  # failed ones of one name from one address, within...
    tries_seconds: float = 60.0  # ...so long; more are answered with 429


class Issuer(Part, frozen=True):
    """Who issues OAuth tokens for a storage service, and who we are to them."""

    token_url: str  # the issuer's token endpoint (RFC 6749)
    client_id: str  # our name with the issuer
    client_secret: str = ""  # our password with the issuer
    narrow: bool = True  # tokens lent to tasks are exchanged for ones of their paths alone (RFC 8693)


class Credentials(Part, frozen=True):
    """Credentials of storage services, kept for users, groups and datasets."""

    issuers: dict[str, Issuer] = msgspec.field(default_factory=dict)  # by the beginning of the service's URL
    refresh_before_seconds: float = 300.0  # a token that expires sooner is renewed when it is read


class Leases(Part, frozen=True):
    """A claim lasts `seconds` unless a heartbeat extends it; every `sweep_seconds` somebody looks."""

    seconds: float = 60.0  # without a heartbeat for so long, a pilot has lost its tasks
    sweep_seconds: float = 5.0  # between two looks at what is due: leases, and tasks to repair
    max_wait_seconds: float = 30.0  # longest long poll of an idle pilot
    unattended_hours: float = 72.0  # a claim by a client that sends no heartbeats
    # so long a pilot works on while the server does not answer: longer than most upgrades and repairs
    grace_hours: float = 2.0


class Failures(Part, frozen=True):
    """When a failing task is given up, and how its requirements grow."""

    max_failures: int = 10  # a task that failed so often by its own fault is given up
    growth: float = 1.5  # by this factor grows what a task had too little of
    backoff_seconds: float = 5.0  # before the first retry; doubles each time, spread by half; 0: never
    backoff_max_minutes: float = 15.0  # no longer than this: then an outage is over sooner than we notice
    outage_hours: float = 48.0  # so long a task waits for storage that is away; outages last a day, no more
    max_evictions: int = 50  # in a row; a task that no pilot can keep is given up
    breaker_failures: int = 3  # of different tasks or hosts in ten minutes: a resource is taken to be away
    probe_seconds: float = 60.0  # between tries whether it is back; doubles up to ten times as much
    max_memory_gb: float = 128.0  # no further than to this
    max_disk_gb: float = 1000.0  # no further than to this
    max_time_hours: float = 240.0  # no further than to this


class Scans(Part, frozen=True):
    """Launching scans and cutting them into batches of pixels."""

    # each cluster with its worker cap in debug mode; the sites of registered grids need not be here
    clusters: dict[str, int] = msgspec.field(default_factory=lambda: {"local": 5, "osg": 100, "sub-2": 100})
    # the tags that a request may name, and what each stands for
    image_tags: dict[str, str] = msgspec.field(
        default_factory=lambda: {"latest": "v4.0.0", "v4": "v4.0.0", "v4.0.0": "v4.0.0", "3.1": "v3.1.5"})
    minimum_image_tag: str = "v4.0.0"  # requests for older ones are refused
    batch_seconds: float = 1.0  # pixels are cut so that one batch takes about this long
    first_batch_pixels: int = 24  # before anything was measured; small, so that the map starts at once
    max_batch_pixels: int = 512  # of a batch, however fast pixels are
    ahead: bool = True  # begin the next level around the best fit so far while cores would wait for this one
    background_seconds: float = 300.0  # scans of negative priority start when so long nothing else waited
    max_attempts: int = 3  # of starting a scan; then it ends with the reason
    max_failed_share: float = 0.1  # of a scan's pixels; when more fail for good, it ends
    backlog_per_user: int = 5000  # scans of one user that wait; more are refused
    running_per_user: int = 50  # scans of one user that run; more wait, but for those of priority 100 and up
    running_per_cluster: int = 200  # the same for scans that ask for workers of one cluster


class Pilots(Part, frozen=True):
    """What one pilot offers, when it ends, and how it moves files."""

    count: int = 2  # how many `iceprod up` keeps running here
    cores: int = 1  # of one pilot; as many tasks of one core run side by side
    memory_gb: float = 4.0  # of one pilot
    disk_gb: float = 10.0  # of one pilot
    lifetime_hours: float = 24.0  # then a pilot ends and another one starts
    heartbeat_seconds: float = 5.0  # how often a pilot says that it lives; well below leases.seconds
    site: str = "local"  # the name that tasks may ask for
    temp: str = ""  # address below which temporary data lie; empty: the directory temp of `data`
    transfers: dict[str, str] = msgspec.field(default_factory=dict)  # scheme: command {source} {target}
    cache_gb: float = 10.0  # of inputs that tasks have in common, for all pilots here, on top of disk_gb
    isolation: Literal["auto", "required", "off"] = "auto"  # of tasks: where possible, or run none, or never
    account: str = "nobody"  # that tasks run as when `iceprod up` runs as root
    visible: list[str] = msgspec.field(default_factory=list)  # paths that tasks may read besides the system's
    writable: list[str] = msgspec.field(default_factory=list)  # paths that tasks may change


class Schedule(Part, frozen=True):
    """The clock that runs named actions at their times."""

    disk_share: float = 0.85  # of the disk; when more is used, an entry keeps the newest data alone


class Services(Part, frozen=True):
    """The periodic services; one server at a time runs them, the holder of the leader lease."""

    leader_seconds: float = 10.0  # another server takes over so long after the leader died
    repair_seconds: float = 30.0  # the longest time that something stays undone after a crash


class Limits(Part, frozen=True):
    """How many requests one server process works on; more are told when to come again."""

    requests_at_once: int = 32  # beside the urgent ones; fewer while answers are slow; more: 503
    urgent_at_once: int = 2000  # health, what pilots say; more: 503
    user_at_once: int = 24  # of one user, pilots, grids and services apart; more: 429; 0: no limit
    user_per_second: float = 200.0  # of one user, after a burst; more: 429; 0: no limit
    user_burst: int = 2000  # so many, before the rate counts

    def __post_init__(self) -> None:
        for name in ("requests_at_once", "urgent_at_once", "user_burst"):
            if getattr(self, name) < 1:
                raise ValueError(f"limits.{name}: must be at least 1")
        if self.user_at_once < 0 or self.user_per_second < 0:
            raise ValueError("limits.user_at_once, limits.user_per_second: must not be negative")


class Desk(Part, frozen=True):
    """The follow-up desk: how often one token may ask, and how long a list of candidates stays as it was."""

    requests_per_second: float = 5.0  # of one token, after a burst
    burst: int = 10  # so many at once, before the rate counts
    # who may ask as often as they like
    exempt_addresses: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.1", "::1"])
    list_minutes: float = 60.0  # how long the pages of one list of candidates fit together
    analysis_templates: str = ""  # a folder with templates of analyses beside those that ship


class Catalogs(Part, frozen=True):
    """Services outside that the desk asks, and the limits of asking. Only hosts named here are called."""

    gaia_tap_url: str = "https://gea.esac.esa.int/tap-server/tap"  # the Gaia archive (TAP)
    irsa_tap_url: str = "https://irsa.ipac.caltech.edu/TAP"  # IRSA's archive, for WISE (TAP)
    vizier_url: str = "https://vizier.cds.unistra.fr/viz-bin/votable"  # VizieR's catalogues
    gaia_alerts_url: str = "https://gsaweb.ast.cam.ac.uk/alerts"  # Gaia's photometric alerts
    swift_url: str = "https://www.swift.ac.uk/API/main.php"  # the Swift observatory's interface for targets
    fink_url: str = "https://api.fink-portal.org/api/v1"  # the broker Fink
    kowalski_url: str = "https://kowalski.caltech.edu"  # the archive Kowalski
    glade_url: str = "http://elysium.elte.hu/~dalyag/GLADE+.txt"  # the galaxy catalogue GLADE+
    images_url: str = "https://alasky.cds.unistra.fr/hips-image-services/hips2fits"  # cut-outs of surveys
    # the survey that each image source of a finding chart stands for, by its HiPS id
    image_surveys: dict[str, str] = msgspec.field(default_factory=lambda: {
        "ps1": "CDS/P/PanSTARRS/DR1/r", "desi": "CDS/P/DESI-Legacy-Surveys/DR10/r", "dss": "CDS/P/DSS2/red",
        "ztfref": "CDS/P/ZTF/DR7/r"})
    sky_pictures: bool = False  # whether pages of sky maps show a picture that images_url makes
    sky_survey: str = "CDS/P/DSS2/color"  # the survey of these pictures, by its HiPS id
    allowed_hosts: list[str] = msgspec.field(default_factory=list)  # more hosts; host or host:port
    folder: str = "catalogs"  # relative to the data directory: files that may be imported by name
    timeout_seconds: float = 8.0  # of one whole answer
    tries: int = 2  # of one request that brings no answer
    max_mb: int = 20  # of one answer
    max_file_mb: int = 10_000  # of a catalogue that is imported


class Logging(Part, frozen=True):
    """Structured logs."""

    level: str = "INFO"  # DEBUG, INFO, WARNING or ERROR; DEBUG has every request
    format: str = "json"  # or "text"


class Telemetry(Part, frozen=True):
    """What is recorded of who did what for how long; OpenTelemetry's own variables say where it goes."""

    traces: bool = False  # record spans; needs `pip install 'iceprod-scanner[telemetry]'`


class Settings(Part, frozen=True):
    """All settings of the system."""

    data: str = "iceprod-data"  # the directory of the installation
    server: Server = Server()
    database: Database = Database()
    tokens: Tokens = Tokens()
    oidc: Oidc = Oidc()
    login: Login = Login()
    credentials: Credentials = Credentials()
    leases: Leases = Leases()
    failures: Failures = Failures()
    scans: Scans = Scans()
    pilots: Pilots = Pilots()
    schedule: Schedule = Schedule()
    services: Services = Services()
    limits: Limits = Limits()
    desk: Desk = Desk()
    catalogs: Catalogs = Catalogs()
    alerts: Alerts = Alerts()
    notify: Notify = Notify()
    logging: Logging = Logging()
    telemetry: Telemetry = Telemetry()


def load(path: str | Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from an optional YAML file and the environment (default: the process's).

    Raises SettingsError, which names the setting.
    """
    document = read_document(path) if path else {}
    source = str(path) if path else "settings"
    for name, text in (os.environ if environment is None else environment).items():
        if name.startswith(ENVIRONMENT_PREFIX):
            _put(document, name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"), _yaml(text, name), name)
    return _convert(document, Settings, source)


def read_part(path: str | Path, part: type[_P]) -> _P:
    """A YAML file that holds one section, such as what is particular to a site. Raises SettingsError."""
    return _convert(read_document(path), part, str(path))


def _convert(document: dict[str, Any], part: type[_P], source: str) -> _P:
    _check_names(document, part, source)
    try:
        return msgspec.convert(document, part)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{source}: {error}") from None


def read_document(path: str | Path) -> dict[str, Any]:
    """What a YAML file says, as it stands there. Raises SettingsError."""
    try:
        text = Path(path).read_text(encoding="utf8")
    except OSError as error:
        raise SettingsError(f"cannot read settings file {path}: {error.strerror}") from None
    document = _yaml(text, str(path))
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: expected a mapping of settings, got {type(document).__name__}")
    return document


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, for which `on` and `off` are words (as in YAML 1.2), not true and false."""


_Loader.yaml_implicit_resolvers = {
    first: [one for one in known if first not in "oO" or one[0] != "tag:yaml.org,2002:bool"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def _yaml(text: str, source: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise SettingsError(f"{source}: not YAML: {error}") from None


def _put(document: dict[str, Any], path: list[str], value: Any, source: str) -> None:
    for name in path[:-1]:
        document = document.setdefault(name, {})
        if not isinstance(document, dict):
            raise SettingsError(f"{source}: {name} is not a section")
    document[path[-1]] = value


def _check_names(document: dict[str, Any], part: type[Part], where: str) -> None:
    known = get_type_hints(part)
    for name, value in document.items():
        if name not in known:
            raise SettingsError(f"{where}: unknown setting {name!r}{_nearest(str(name), known)}")
        if isinstance(known[name], type) and issubclass(known[name], Part) and isinstance(value, dict):
            _check_names(value, known[name], f"{where}: {name}")


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
