"""Logging in with an OpenID Connect issuer, in a real browser that treats it as another site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.browsing import Visitor
from tests.support.api import Api, running_server
from tests.support.issuer import LoopbackIssuer, loopback_issuer

pytestmark = pytest.mark.slow

MEMBER = {"groups": ["/institutions/IceCube/UW-Madison"], "preferred_username": "ada", "jti": "one"}


@pytest.fixture(scope="module")
def issuer() -> Iterator[LoopbackIssuer]:
    with loopback_issuer("localhost") as running:
        yield running


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, issuer: LoopbackIssuer) -> Iterator[Api]:
    settings = {"OIDC__ISSUER": issuer.url, "OIDC__AUDIENCES": "[iceprod]", "OIDC__CLIENT_ID": "iceprod-web",
                "OIDC__RETRY_SECONDS": 0, "TOKENS__REVOCATION_SECONDS": 0}
    with running_server(tmp_path_factory.mktemp("login"), settings) as server:
        yield server


@pytest.fixture
def ada(api: Api, issuer: LoopbackIssuer, visit: Callable[..., Visitor]) -> Visitor:
    issuer.person = dict(MEMBER)
    return visit(api.url, friends=(issuer.url,))


def log_in(visitor: Visitor, path: str = "/web/datasets") -> Any:
    visitor.go(path)
    visitor.page.get_by_role("link", name="Log in with localhost").click()
    visitor.page.get_by_role("link", name="It is me").click()
    return visitor.page


def test_a_member_logs_in_and_comes_to_the_page_asked_for(ada: Visitor) -> None:
    page = log_in(ada)
    page.wait_for_url("**/web/datasets")
    page.get_by_role("heading", name="Datasets").wait_for()
    assert page.get_by_role("link", name="ada", exact=True).is_visible()
    cookies = {cookie["name"]: cookie for cookie in ada.context.cookies()}
    session = cookies["iceprod_session"]
    assert (session["httpOnly"], session["sameSite"]) == (True, "Strict")
    assert "iceprod_login" not in cookies
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Log in").wait_for()


def test_a_code_is_good_for_the_browser_that_asked_alone(ada: Visitor, api: Api,
                                                         visit: Callable[..., Visitor],
                                                         issuer: LoopbackIssuer) -> None:
    ada.go("/web/")
    ada.page.get_by_role("link", name="Log in with localhost").click()
    address = ada.page.get_by_role("link", name="It is me").get_attribute("href")
    eve = visit(api.url, friends=(issuer.url,))
    eve.page.goto(address)
    eve.page.get_by_text("this login was not begun here").wait_for()
    log_in(eve).wait_for_url("**/web/datasets")  # her own login is another one
    ada.page.goto(address.replace("state=", "state=x"))
    ada.page.get_by_text("this is the answer to another login").wait_for()


@pytest.mark.parametrize(("person", "said"), [
    (None, "access_denied"),
    ({**MEMBER, "nonce": "of another login"}, "it was issued for another login"),
    ({**MEMBER, "exp": 1}, "expired"),
    ({**MEMBER, "groups": ["/institutions/Elsewhere"]}, "authorization failed"),
])
def test_who_is_not_let_in(ada: Visitor, issuer: LoopbackIssuer, person: dict[str, Any] | None,
                           said: str) -> None:
    issuer.person = person
    log_in(ada).get_by_role("alert").get_by_text(said).wait_for()


def test_a_session_ends_when_its_user_is_revoked(ada: Visitor, api: Api) -> None:
    log_in(ada).wait_for_url("**/web/datasets")
    assert api.session().post("/revoke_token", json={"username": "ada"}).status_code == 200
    ada.go("/web/")
    ada.page.get_by_role("heading", name="Log in").wait_for()
