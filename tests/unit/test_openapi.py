"""The OpenAPI document describes what is served."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest
from jsonschema import Draft202012Validator

import server
from server.app import ROUTES
from server.common.introspection import used
from server.openapi import document
from server.rest.handler import Handler
from server.rest.routing import METHODS, allow
from server.web import MISSING

OPERATIONS = [
    ("get", "/"), ("get", "/openapi.json"), ("post", "/scans/find"), ("post", "/scan"),
    ("post", "/scan/{scan_id}/actions/rescan"), ("post", "/scan/{scan_id}/actions/add-workers"),
    ("get", "/scan/{scan_id}"), ("delete", "/scan/{scan_id}"), ("get", "/scan/{scan_id}/manifest"),
    ("patch", "/scan/{scan_id}/manifest"), ("get", "/scan/{scan_id}/i3-event"),
    ("get", "/scan/{scan_id}/result"), ("put", "/scan/{scan_id}/result"), ("get", "/scan/{scan_id}/status"),
    ("get", "/scan/{scan_id}/logs"), ("get", "/scan-request/{scan_id}"), ("get", "/scans/backlog"),
    ("get", "/scan/{scan_id}/ewms/workflow-id"),
    ("post", "/scan/{scan_id}/ewms/workflow-id"), ("get", "/scan/{scan_id}/ewms/workforce"),
    ("get", "/scan/{scan_id}/ewms/taskforces")]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_is_described(method: str, path: str) -> None:
    operation = document(ROUTES)["paths"][path][method]
    assert operation["summary"]
    assert operation["responses"]["200"]
    names = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
    assert names == ({"scan_id"} if "{scan_id}" in path else set())


@pytest.mark.parametrize(("method", "path", "code"), [
    ("post", "/scan/{scan_id}/actions/add-workers", "422"), ("put", "/scan/{scan_id}/result", "409")])
def test_what_a_state_does_not_allow_is_described(method: str, path: str, code: str) -> None:
    responses = document(ROUTES)["paths"][path][method]["responses"]
    assert responses[code]["content"] == responses["404"]["content"]
    assert code not in document(ROUTES)["paths"]["/scan"]["post"]["responses"]


def test_operation_ids_are_unique_and_schemas_valid() -> None:
    operations = [op for path in document(ROUTES)["paths"].values() for op in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    for operation in operations:
        if "requestBody" in operation:
            Draft202012Validator.check_schema(operation["requestBody"]["content"]["application/json"]["schema"])


def test_every_route_and_method_is_there() -> None:
    described = document(ROUTES)["paths"]
    served = {(route.openapi_path, name)
              for route in ROUTES if route.tag != "web" for name in route.methods()}
    assert {(path, name) for path, methods in described.items() for name in methods} == served


def test_no_handler_is_without_a_route() -> None:
    """Whoever writes a handler and forgets its route is told here."""
    for module in pkgutil.walk_packages(server.__path__, "server."):
        if module.name.endswith("routes"):
            importlib.import_module(module.name)
    routed = {route.handler for route in (*ROUTES, MISSING)}
    lost = [handler for handler in _leaves(Handler) if handler.__module__.startswith("server.")
            and any(hasattr(getattr(handler, name), "roles") for name in METHODS) and handler not in routed]
    assert not lost


def _leaves(handler: type[Handler]) -> Iterator[type[Handler]]:
    for below in handler.__subclasses__():
        yield from _leaves(below)
    if not handler.__subclasses__():
        yield handler


@pytest.mark.parametrize(("method", "path", "queries"), [
    ("get", "/datasets", {"status", "groups", "users", "keys", "dataset"}),
    ("get", "/logs", {"from", "to", "name", "dataset_id", "task_id", "keys", "limit"}),
    ("get", "/tasks", {"status", "site", "keys", "sort", "limit"}),
    ("get", "/datasets/{dataset_id}", {"keys"}),
    ("get", "/grids", set()),
])
def test_queries(method: str, path: str, queries: set[str]) -> None:
    operation = document(ROUTES)["paths"][path][method]
    assert {parameter["name"] for parameter in operation["parameters"]
            if parameter["in"] == "query"} == queries


class Odd(Handler):
    """Every way of asking for a parameter."""

    @allow("everybody")
    def get(self) -> None:
        self.query_int("number")
        self.query_bool("flag")
        names = (("a", 1), ("b", 2))
        self.send([self.query(name) for name, _ in names] + [self.query(other) for other in ("c", "d")])
        self.helper()

    @allow("everybody")
    def post(self) -> None:
        self.helper()
        self.send(self.body(), 201)

    def helper(self) -> None:
        self.query_list("more")
        self.get()


def test_what_methods_use_is_found() -> None:
    assert used(Odd, "get").queries == {
        "number": "integer", "flag": "boolean", **dict.fromkeys(("a", "b", "c", "d", "more"), "string")}
    assert (used(Odd, "get").statuses, used(Odd, "get").body) == ({200}, False)
    assert (used(Odd, "post").statuses, used(Odd, "post").body) == ({200, 201}, True)
