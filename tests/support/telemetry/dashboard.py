"""The Grafana dashboard that ships: its panels, what they ask Prometheus for, and what that names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
from promql_parser import AggregateExpr, BinaryExpr, Call, MatrixSelector, ParenExpr, VectorSelector

__all__ = ["DASHBOARD", "RULES", "Query", "named", "queries"]

_DOCS = Path(__file__).parents[3] / "docs"
DASHBOARD, RULES = _DOCS / "grafana" / "iceprod.json", _DOCS / "prometheus" / "alerts.yaml"


@dataclass(frozen=True)
class Query:
    """One question of a panel."""

    panel: str
    text: str

    def of_all_jobs(self) -> str:
        """As Grafana asks when the variable stands at All."""
        return self.text.replace("$job", ".*")


def queries() -> list[Query]:
    """All questions, panel by panel."""
    return [Query(panel["title"], target["expr"])
            for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]


def named(text: str) -> tuple[set[str], set[str]]:
    """The series that an expression names, and the labels that it groups or chooses by. Raises ValueError."""
    selectors, labels = set(), set()
    for one in _within(promql_parser.parse(text)):
        if isinstance(one, VectorSelector):
            selectors.add(one.name)
            labels |= {matcher.name for matcher in one.matchers.matchers}
        elif isinstance(one, AggregateExpr) and one.modifier is not None:
            labels |= set(one.modifier.labels)
    return selectors, labels


def _within(expression: Any) -> Iterator[Any]:
    """An expression and all that it is made of."""
    yield expression
    match expression:
        case MatrixSelector():
            parts = [expression.vector_selector]
        case AggregateExpr() | ParenExpr():
            parts = [expression.expr]
        case BinaryExpr():
            parts = [expression.lhs, expression.rhs]
        case Call():
            parts = list(expression.args)
        case _:
            parts = []
    for part in parts:
        yield from _within(part)
