"""Envelope, authentication, rate limit, and K1 system information."""
from concurrent.futures import ThreadPoolExecutor

import pytest
from client import ok, refused

op = pytest.mark.op


def test_success_envelope(sp):
    a = sp.op(58)
    ok(a)
    assert isinstance(a.json.get("version"), str) and a.json["version"], "version string in every answer"
    assert a.headers["Content-Type"].startswith("application/json")


def test_error_envelope(sp):
    a = sp.op(47, classification_id=999999999)
    refused(a)
    assert "version" in a.json
    assert "data" in a.json


@pytest.mark.parametrize("number", [58, 40, 71, 5, 21])
def test_no_token_is_401(sp_anon, number):
    refused(sp_anon.op(number), 401)




def test_unknown_endpoint_is_400(sp):
    a = sp.send("GET", "/api/no_such_endpoint_here")
    assert a.status == 400, a
    assert "Invalid API endpoint" in a.json["message"]


@op(51)
@pytest.mark.parametrize("body", ["{not json", "[1, 2]", '"text"'])
def test_body_must_be_a_json_object(sp, body):
    refused(sp.op(51, data=body, headers={"Content-Type": "application/json"}))




def test_rate_limit_429(sp, pytestconfig):
    if not pytestconfig.getoption("--skyportal-rate-limit"):
        pytest.skip("needs --skyportal-rate-limit")
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: sp.send("GET", "/api/sysinfo", retry=False).status, range(80)))
    assert set(codes) == {200, 429}, codes




@op(59)
def test_db_stats(sp):
    data = ok(sp.op(59))
    for key in ("Number of candidates", "Number of objs", "Number of sources", "Number of groups", "Number of users", "Number of tokens"):
        assert isinstance(data.get(key), int), f"{key}: {data.get(key)!r}"


@op(59)
def test_db_stats_counts_new_candidates(sp, world):
    before = ok(sp.op(59))["Number of candidates"]
    world.obj()
    assert ok(sp.op(59))["Number of candidates"] == before + 1




@op(60)
def test_sysinfo(sp):
    assert isinstance(ok(sp.op(60)).get("gitlog"), list)


