"""A server that trusts an OpenID Connect issuer, beside its own tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api import Api, Session, running_server
from tests.support.issuer import LoopbackIssuer, loopback_issuer


@pytest.fixture(scope="module")
def issuer() -> Iterator[LoopbackIssuer]:
    with loopback_issuer() as running:
        yield running


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, issuer: LoopbackIssuer) -> Iterator[Api]:
    settings = {"OIDC__ISSUER": issuer.url, "OIDC__AUDIENCES": "[iceprod]", "OIDC__RETRY_SECONDS": 0}
    with running_server(tmp_path_factory.mktemp("api"), settings) as server:
        yield server


def session(api: Api, issuer: LoopbackIssuer, **claims: Any) -> Session:
    return Session(api.url, issuer.token(**claims))


MEMBER = ["/institutions/IceCube/UW-Madison"]
DATASET = {"description": "d", "group": "users", "jobs_submitted": 1, "tasks_submitted": 1,
           "tasks_per_job": 1}


def test_a_member_of_the_collaboration_submits(api: Api, issuer: LoopbackIssuer) -> None:
    ada = session(api, issuer, groups=MEMBER)
    dataset = ada.post("/datasets", json=DATASET).json()["result"]
    assert ada.get(f"/datasets/{dataset}").json()["username"] == "ada"
    bob = session(api, issuer, groups=MEMBER, preferred_username="bob")
    assert bob.get(f"/datasets/{dataset}").status_code == 200
    body = {"description": "bob's"}
    assert bob.put(f"/datasets/{dataset}/description", json=body).status_code == 403
    admin = session(api, issuer, groups=["/tokens/IceProdAdmins"], preferred_username="root")
    assert admin.put(f"/datasets/{dataset}/description", json=body).status_code == 200


@pytest.mark.parametrize(("claims", "path", "code"), [
    ({"groups": ["/tokens/IceProdAdmins"]}, "/users", 200),
    ({"groups": MEMBER}, "/users", 403),
    ({"groups": MEMBER}, "/datasets", 200),
    ({"resource_access": {"iceprod": {"roles": ["iceprod-system"]}}}, "/grids", 200),
    ({"resource_access": {"skydriver-internal": {"roles": ["system"]}}}, "/grids", 200),
    ({"resource_access": {"skydriver-external": {"roles": ["users"]}}}, "/scans/backlog", 200),
    ({"groups": ["/institutions/Elsewhere"]}, "/datasets", 403),
    ({"groups": MEMBER, "aud": "account"}, "/datasets", 403),
    ({"groups": MEMBER, "exp": 1}, "/datasets", 403),
    ({"groups": MEMBER, "iss": "iceprod"}, "/datasets", 403),
])
def test_what_the_claims_open(api: Api, issuer: LoopbackIssuer, claims: dict[str, Any], path: str,
                              code: int) -> None:
    assert session(api, issuer, **claims).get(path).status_code == code


def test_our_own_tokens_stay_good(api: Api) -> None:
    assert api.session("user").get("/datasets").status_code == 200


def test_a_rotated_key_and_a_revoked_user(api: Api, issuer: LoopbackIssuer) -> None:
    eve = {"groups": MEMBER, "preferred_username": "eve"}
    old = session(api, issuer, **eve)
    assert old.get("/datasets").status_code == 200
    issuer.rotate("second")
    new = session(api, issuer, kid="second", **eve)
    assert (new.get("/datasets").status_code, old.get("/datasets").status_code) == (200, 403)
    made = Session(api.url, new.post("/create_token", json={"exp": 600}).json()["result"])
    assert made.get("/datasets").status_code == 200
    assert new.post("/revoke_token", json={"username": "eve"}).status_code == 200
    assert (new.get("/datasets").status_code, made.get("/datasets").status_code) == (403, 403)
    issuer.rotate("first")
