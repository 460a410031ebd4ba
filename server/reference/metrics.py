"""Every metric of ``/metrics`` with its labels and what values these take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prometheus_client import REGISTRY

from server.common.metrics import LABELS
from server.reference import house
from server.reference.markdown import code, table

__all__ = ["Described", "described", "missing", "text"]

_HEAD = """# Metrics

`GET /metrics` in Prometheus' text format; no token is needed. The processes that `iceprod up` started
together answer for all of them; of servers on several machines, add the counters. Gauges of tasks, datasets
and pilots are the whole installation's and the same at every server: take the largest. Labels take few
values, whatever clients send: never ids, names of users or paths.

`docs/grafana/iceprod.json` is a dashboard of these for Grafana; [Operating](../operate.md) says how to use
it.
"""


@dataclass(frozen=True)
class Described:
    """A metric as it stands in the registry, and the names under which it is asked for."""

    name: str
    kind: str
    about: str
    labels: tuple[str, ...]
    series: tuple[str, ...]


def described() -> list[Described]:
    """Our metrics, by name."""
    house.routes()  # there is an application, so all metrics are registered
    found = [_described(collector, names) for collector, names in REGISTRY._collector_to_names.items()
             if hasattr(collector, "_labelnames")]
    return sorted(found, key=lambda metric: metric.name)


def _described(collector: Any, names: list[str]) -> Described:
    [family] = collector.describe()
    series = tuple(name for name in names if not name.endswith("_created"))
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return Described(name, family.type, family.documentation, tuple(collector._labelnames), series)


def text() -> str:
    """The page."""
    metrics = described()
    rows = [(code(one.name), one.kind, ", ".join(map(code, one.labels)), one.about) for one in metrics]
    labels = sorted({label for one in metrics for label in one.labels})
    bounds = [(code(label), LABELS.get(label, "")) for label in labels]
    return "\n\n".join([
        _HEAD, table(("metric", "kind", "labels", "what it counts"), rows),
        "## Labels", table(("label", "values"), bounds),
        "Beside these, `python_*` and `process_*` tell of the process itself."]) + "\n"


def missing() -> list[str]:
    """Metrics without a text, and labels whose values nobody bounded in `server.metrics.LABELS`."""
    metrics = described()
    return [one.name for one in metrics if not one.about] + [
        f"{one.name}: label {label}" for one in metrics for label in one.labels if label not in LABELS]
