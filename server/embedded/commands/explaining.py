"""explain: the plan of a command, and what carrying it out has looked at."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from server.embedded.commands.aggregation import compile_command
from server.embedded.commands.diagnostics import VERSION
from server.embedded.commands.registry import Answer, Context, command
from server.embedded.documents.errors import Code, CommandError
from server.embedded.indexes.planner import Plan
from server.embedded.reading.queries import Search, search
from server.embedded.reading.scan import Statistics
from server.embedded.storage.writes import Steps


@command("explain")
def explain(context: Context) -> Steps[Answer]:
    """Say how a find, count, distinct, aggregate, update, delete or findAndModify would be carried out."""
    inner = context.body["explain"]
    if not isinstance(inner, Mapping) or not inner:
        raise CommandError(Code.BadValue, "explain needs a command")
    name = next(iter(inner))
    target = replace(context, name=name, body=dict(inner))
    found = _search(target)
    planner = {
        "namespace": target.namespace(), "parsedQuery": _filter(target), "rejectedPlans": [],
        "winningPlan": _plan(found) if found else {"stage": "EOF"},
    }  # fmt: skip
    answer: dict[str, Any] = {"explainVersion": "1", "queryPlanner": planner}
    if context.body.get("verbosity", "allPlansExecution") != "queryPlanner":
        answer["executionStats"] = yield from _execute(found, target)
    return answer | {"command": dict(inner), "serverInfo": {"version": VERSION}}


def _filter(target: Context) -> Any:
    body = target.body
    if target.name in ("update", "delete"):
        return _statement(target).get("q", {})
    return body.get("filter", body.get("query", {}))


def _statement(target: Context) -> Mapping[str, Any]:
    return target.statements("updates" if target.name == "update" else "deletes")[0]


def _search(target: Context) -> Search | None:
    collection = target.collection()
    if target.name == "aggregate":
        pipeline = compile_command(target)
        return pipeline.search(collection, target.variables()) if collection else None
    if target.name not in ("find", "count", "distinct", "update", "delete", "findAndModify"):
        raise CommandError(Code.BadValue, f"Explain is not supported for the command '{target.name}'")
    if collection is None:
        return None
    return search(target.view, collection, _filter(target), target.body.get("sort"), target.body.get("hint"))


def _plan(found: Search) -> dict[str, Any]:
    stage = _access(found.plan)
    if found.needs_sorting:
        pattern = {path: -1 if descending else 1 for path, descending in found.sort}
        stage = {"stage": "SORT", "sortPattern": pattern, "inputStage": stage}
    return stage


def _access(plan: Plan) -> dict[str, Any]:
    direction = "backward" if plan.reverse else "forward"
    if plan.branches:
        return {
            "stage": "FETCH",
            "inputStage": {"stage": "OR", "inputStages": [_scan(branch) for branch in plan.branches]},
        }
    if plan.index is None:
        return {"stage": "COLLSCAN", "direction": direction}
    return {"stage": "FETCH", "inputStage": _scan(plan)}


def _scan(plan: Plan) -> dict[str, Any]:
    index = plan.index
    assert index is not None
    return {
        "stage": "SORT_MERGE" if plan.merge else "IXSCAN", "keyPattern": index.spec["key"],
        "indexName": index.name,
        "isMultiKey": index.multikey, "isUnique": index.unique, "isSparse": index.sparse,
        "isPartial": index.partial is not None, "direction": "backward" if plan.reverse else "forward",
        "ranges": len(plan.ranges), "boundedFields": plan.covered_fields,
    }  # fmt: skip


def _execute(found: Search | None, target: Context) -> Steps[dict[str, Any]]:
    statistics, started, number = Statistics(), time.monotonic(), 0
    limit = abs(int(target.body.get("limit") or 0))
    for raw in found.ordered(limit, None, statistics) if found else ():
        if raw is None:
            yield None
            continue
        number += 1
        if limit and number >= limit:
            break
    return {
        "executionSuccess": True, "nReturned": number, "totalKeysExamined": statistics.keys,
        "totalDocsExamined": statistics.documents,
        "executionTimeMillis": int(1000 * (time.monotonic() - started)),
    }  # fmt: skip
