"""Settings of the alerts: where they come from, what is done with them, who is told."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from config.parts import Part

__all__ = ["AlertGate", "AlertRule", "AlertSource", "AlertStep", "AlertTarget", "Alerts"]


class AlertSource(Part, frozen=True):
    """Where alerts come from: a folder, a bucket, Kafka (extra `kafka`), ZeroMQ (extra `zeromq`)."""

    kind: Literal["folder", "s3", "kafka", "zeromq"]  # how it is reached
    # the folder, bucket and prefix (s3://bucket/prefix), the brokers (host:port,…), or the publisher
    # (tcp://host:port)
    address: str
    topics: list[str] = msgspec.field(default_factory=list)  # to subscribe to; of ZeroMQ none means all
    stream: str = ""  # what its alerts are called; empty: as the message or its topic says
    group: str = "iceprod"  # Kafka's consumer group
    options: dict[str, str] = msgspec.field(default_factory=dict)  # of librdkafka, such as sasl.mechanism
    endpoint: str = ""  # of S3: its address, as https://s3.example.org or https://{bucket}.s3.amazonaws.com
    access_key: str = ""  # of S3; empty: whoever comes may read the bucket
    secret_key: str = ""  # of S3
    region: str = "us-east-1"  # of S3
    look_seconds: float = 5.0  # of S3: how often the prefix is listed
    delete_taken: bool = False  # of S3: whether objects are deleted once they are stored here

    def __post_init__(self) -> None:
        if self.kind != "s3":
            if self.endpoint or self.access_key or self.secret_key or self.delete_taken:
                raise ValueError("endpoint, access_key, secret_key, delete_taken: only a source of kind s3 "
                                 "has these")
            return
        if not re.fullmatch(r"s3://[^/]+(/.*)?", self.address):
            raise ValueError("address: must be s3://bucket or s3://bucket/prefix")
        if not self.endpoint.startswith(("http://", "https://")):
            raise ValueError("endpoint: a source of kind s3 needs the address of its storage (https://…)")
        if bool(self.access_key) != bool(self.secret_key):
            raise ValueError("access_key, secret_key: give both or none")
        if not self.look_seconds > 0:
            raise ValueError("look_seconds: must be more than 0")


class AlertTarget(Part, frozen=True):
    """Where notices go. Without a target nothing is published."""

    kind: Literal["folder", "http", "smtp", "kafka"]  # how it is reached
    address: str  # the folder, the URL, the mail server (host:port), or the brokers (host:port,…)
    public: bool = False  # whether the world reads it; then tests and rehearsals never go there
    sends_held: bool = False  # whether it is also told of alerts that wait for a person; never when public
    topic: str = ""  # of Kafka
    options: dict[str, str] = msgspec.field(default_factory=dict)  # of librdkafka, such as sasl.mechanism
    headers: dict[str, str] = msgspec.field(default_factory=dict)  # of HTTP, such as Authorization
    sender: str = ""  # of mails
    recipients: list[str] = msgspec.field(default_factory=list)  # of mails

    def __post_init__(self) -> None:
        if self.public and self.sends_held:
            raise ValueError("sends_held: a public target is not told what waits for a person")
        if self.kind == "kafka" and not self.topic:
            raise ValueError("topic: a Kafka target needs one")
        if self.kind == "smtp" and not (self.sender and self.recipients):
            raise ValueError("sender, recipients: a mail needs both")
        if self.kind == "http" and not self.address.startswith(("http://", "https://")):
            raise ValueError("address: must begin with http:// or https://")


class AlertStep(Part, frozen=True):
    """One reconstruction of an alert; its map is a revision."""

    reco: str  # the reconstruction, as `iceprod recos` lists them
    nsides: str = "8:0,64:12,512:24"  # levels: nside and how many pixels of the level before are refined
    refine: bool = True  # whether levels go on, finer and wider, as the regions need
    priority: int = 100  # of the scan; from 100 on it does not wait for quotas
    deadline_seconds: float = 600.0  # a map that takes longer is marked late; `sends_held` targets are told
    publish: bool = True  # or only computed, to be compared with


class AlertGate(Part, frozen=True):
    """What is checked before a map is published; what fails waits for a person. 0 leaves a check out."""

    max_failed_share: float = 0.02  # of the pixels of the finest two levels
    max_area_deg2: float = 2000.0  # of the 90 % region
    online_deg: float = 5.0  # how far the best fit may be from the online reconstruction
    compatible: float = 1.0  # two best fits are apart by no more than so many sums of their 90 % radii


class AlertRule(Part, frozen=True):
    """What is done with the events of some streams. The first rule that fits counts."""

    streams: list[str] = msgspec.field(default_factory=lambda: ["*"])  # names, with * and ?
    event_types: list[str] = msgspec.field(default_factory=lambda: ["*"])  # such as HESE; with * and ?
    # the reconstructions, one after the other
    steps: list[AlertStep] = msgspec.field(
        default_factory=lambda: [AlertStep(reco="track_mpe"),
                                 AlertStep(reco="millipede", nsides="8:0,64:12")])
    targets: list[str] = msgspec.field(default_factory=lambda: ["*"])  # who is told; names, with * and ?
    gate: AlertGate = AlertGate()  # what is checked
    is_active: bool = True  # or only kept

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("steps: a rule needs at least one reconstruction")


class Alerts(Part, frozen=True):
    """The way from an alert to published maps. Nothing is published while there is no target."""

    # each source with how it is reached
    sources: dict[str, AlertSource] = msgspec.field(default_factory=dict)
    # each target with how it is reached
    targets: dict[str, AlertTarget] = msgspec.field(default_factory=dict)
    # the rules in their order; those stored through the API come before them
    rules: dict[str, AlertRule] = msgspec.field(default_factory=lambda: {"usual": AlertRule()})
    mission: str = "IceCube"  # who reports; events are named after it
    instrument: str = "IC86"  # the detector, as it stands in notices
    tries: int = 20  # of sending a notice to a target; then it is a dead letter
    retry_seconds: float = 2.0  # before the second try; doubles each time, up to ten minutes
    max_file_kb: int = 600  # a larger sky map is not put into notices; Kafka takes 1 MB
    map_url: str = ""  # where people outside find the maps of a folder target; empty: nowhere
    fetch_maps: bool = False  # whether the maps that notices of others only link to are fetched
    # from whom; a name, or name:port; an address inside one's own network counts only when it stands here
    map_hosts: list[str] = msgspec.field(
        default_factory=lambda: ["heasarc.gsfc.nasa.gov", "opendata.km3net.de", "roc.icecube.wisc.edu"])
    map_max_mb: int = 64  # of one map; the desk reads none that is larger
    map_seconds: float = 120.0  # for one map, all of it
    # names of spatial catalogues whose sources in the 90 % region a circular's draft tells, as 4FGL-DR4
    circular_catalogs: list[str] = msgspec.field(default_factory=list)
    keep_refused_days: int = 90  # the bytes of refused messages; the record stays. 0: for ever

    def __post_init__(self) -> None:
        if self.map_max_mb < 1 or not self.map_seconds > 0:
            raise ValueError("map_max_mb, map_seconds: must be more than 0")
        if self.keep_refused_days < 0:
            raise ValueError("keep_refused_days: must not be negative")
