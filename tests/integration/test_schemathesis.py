"""Requests made from the OpenAPI document: whatever it allows or forbids, none is a server error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from server.app import ROUTES
from tests.support.api import Api, Session, running_server

FAMILIES = ("server.production", "server.scans", "server.desk", "server.sensor", "server.alerts",
            "server.notifications")
WITHOUT_INPUT = {"/api/sysinfo"}  # everybody may ask, and it takes nothing: no request can be wrong
OPERATIONS = [pytest.param(route.openapi_path, name, id=f"{name.upper()} {route.openapi_path}")
              for route in ROUTES if route.handler.__module__.startswith(FAMILIES)
              and route.path not in WITHOUT_INPUT
              for name in route.methods()]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    # nobody outside is asked
    settings = {"LEASES__MAX_WAIT_SECONDS": 0.1, "CATALOGS__TIMEOUT_SECONDS": 0.2, "CATALOGS__TRIES": 1}
    with running_server(tmp_path_factory.mktemp("fuzz"), settings) as server:
        yield server


@pytest.fixture(scope="module")
def session(api: Api) -> Session:
    return api.session()


@pytest.fixture(scope="module")
def document(session: Session) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_dict(session.get("/openapi.json").json())


# with no other parameter, or none that the description tells
_ANY_TEXT = ("/config/schema/{version}", "/api/analysis_files/{analysis_id}/{name}")


@pytest.mark.slow
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@pytest.mark.parametrize("mode", list(GenerationMode))
@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.generate],
          suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_operation(session: Session, document: schemathesis.BaseSchema, path: str, method: str,
                   mode: GenerationMode, data: st.DataObject) -> None:
    if path in _ANY_TEXT and mode is GenerationMode.NEGATIVE:
        return  # nothing that breaks the description can be made up
    case = data.draw(document[path][method].as_strategy(generation_mode=mode))
    sent = case.as_transport_kwargs(base_url=session.url)
    sent["headers"] = {
        **session.headers,
        **{
            name: value
            for name, value in dict(sent.get("headers") or {}).items()
            if name.lower() != "authorization"
        },
    }
    answer = session.request(sent.pop("method"), sent.pop("url"), **sent)
    assert answer.status_code < 500, (case, answer.text)
