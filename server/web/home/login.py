"""Logging in: with a token, by name and password, or with the OpenID Connect issuer; and logging out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt

from iceprod.tokens import Caller, TokenError, decode_login, encode
from server.common.errors import ApiError, BadRequest, NotFound
from server.production.people import login, login_links
from server.rest.oidc import Issuer
from server.rest.routing import Route, allow
from server.web.common.handler import COOKIE, PageHandler, local_path

__all__ = ["ROUTES"]

FLOW_COOKIE = "iceprod_login"
FLOW_PATH = "/web/login"
FLOW_SECONDS = 600  # to log in with the issuer
FLOW_AUDIENCE = "web login"  # so that it is nothing but that


class LoginPage(PageHandler):
    """A page of people who are not logged in."""

    def form(self, problem: str = "", target: str = "/web/", code: int = 200) -> None:
        """Answer with the form, and with what went wrong."""
        issuer = self.ctx.tokens.web_issuer
        self.set_status(code)
        self.page("login.html", problem=problem, target=target,
                  by_name=bool(self.ctx.settings.login.ldap_url),
                  issuer=urlsplit(issuer.settings.issuer).hostname if issuer else "")

    def keep(self, token: str, expires: float) -> None:
        """Let the browser keep a token where scripts cannot read it, and send it from our pages alone."""
        self.set_cookie(COOKIE, token, path="/", expires=expires, httponly=True, samesite="Strict",
                        secure=self.request.protocol == "https", max_age=max(0, int(expires - time.time())))


class Login(LoginPage):
    """The login form: a token, pasted, or a name and password become a cookie."""

    @allow("everybody")
    def get(self) -> None:
        self.form(target=local_path(self.query("next")))

    @allow("everybody")
    async def post(self) -> None:
        target = local_path(self.get_body_argument("next", ""))
        token = self.get_body_argument("token", "").strip()
        try:
            if username := self.get_body_argument("username", "").strip():
                token = await self._token_of(username)
            caller = await self.ctx.tokens.caller(token)
        except TokenError as error:
            self.form(f"This token is not accepted: {error}.", target, 403)
            return
        except ApiError as error:
            self.form(f"{error.reason}.", target, error.code)
            return
        self.keep(token, caller.expires)
        self.redirect(target, status=303)

    async def _token_of(self, username: str) -> str:
        password = self.get_body_argument("password", "", strip=False)
        found = await login.log_in(self.ctx, username, password, self.caller_address)
        return str(found["token"])


class Once(LoginPage):
    """An address that `iceprod up` and `iceprod web` print: it logs in once."""

    @allow("everybody")
    async def get(self) -> None:
        target = local_path(self.query("next"))
        try:
            caller = decode_login(self.ctx.secret, self.query("once") or "")
            await self.ctx.tokens.revocations.check(caller)
            await login_links.use(self.ctx, caller)
        except TokenError as error:
            self.form(f"This address does not log in: {error}. On the machine where the server runs, "
                      "`iceprod web` prints a new one.", target, 403)
            return
        hours = self.ctx.settings.tokens.hours
        token = encode(self.ctx.secret, caller.username, caller.roles, hours=hours, **caller.descent)
        self.keep(token, time.time() + hours * 3600)
        self.page("login_done.html", target=target)


class IssuerPage(LoginPage):
    """A step of logging in with the issuer (authorization code flow with PKCE)."""

    @property
    def issuer(self) -> Issuer:
        """Whom to log in with. Raises NotFound when there is none."""
        issuer = self.ctx.tokens.web_issuer
        if issuer is None:
            raise NotFound("nobody can log in this way here")
        return issuer

    @property
    def redirect_uri(self) -> str:
        """Where the issuer sends people back to."""
        origin = self.ctx.settings.server.public_url or f"{self.request.protocol}://{self.request.host}"
        return f"{origin.rstrip('/')}{FLOW_PATH}/callback"


class ToIssuer(IssuerPage):
    """To the issuer, with a secret of this login that stays in the browser."""

    @allow("everybody")
    async def get(self) -> None:
        issuer = self.issuer
        flow = {"state": secrets.token_urlsafe(24), "nonce": secrets.token_urlsafe(24),
                "verifier": secrets.token_urlsafe(48), "next": local_path(self.query("next")),
                "aud": FLOW_AUDIENCE, "exp": time.time() + FLOW_SECONDS}
        hashed = hashlib.sha256(flow["verifier"].encode()).digest()  # type: ignore[attr-defined]
        query = {"response_type": "code", "client_id": issuer.settings.client_id,
                 "redirect_uri": self.redirect_uri, "scope": issuer.settings.scope,
                 "state": flow["state"], "nonce": flow["nonce"], "code_challenge_method": "S256",
                 "code_challenge": base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()}
        endpoint = (await issuer.description()).authorization_endpoint
        # Lax: the issuer's redirect comes from another site, and must bring this cookie back.
        self.set_cookie(FLOW_COOKIE, jwt.encode(flow, self.ctx.secret, algorithm="HS256"), path=FLOW_PATH,
                        httponly=True, samesite="Lax", secure=self.request.protocol == "https",
                        max_age=FLOW_SECONDS)
        self.redirect(f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}", status=302)


class FromIssuer(IssuerPage):
    """Back from the issuer, with a code that it takes once."""

    @allow("everybody")
    async def get(self) -> None:
        issuer = self.issuer
        flow = self._flow()
        self.clear_cookie(FLOW_COOKIE, path=FLOW_PATH)
        target = local_path(flow["next"])
        if problem := self.query("error"):
            self.form(f"The issuer says: {(self.query('error_description') or problem)[:300]}.", target, 403)
            return
        try:
            code = self.query("code") or ""
            caller = await issuer.log_in(code, flow["verifier"], self.redirect_uri, flow["nonce"])
            await self.ctx.tokens.revocations.check(caller)
        except TokenError as error:
            self.form(f"This login is not accepted: {error}.", target, 403)
            return
        hours = issuer.settings.session_hours
        self.keep(self._session(caller, hours), time.time() + hours * 3600)
        self.page("login_done.html", target=target)

    def _flow(self) -> dict[str, Any]:
        """What this login began with. Raises BadRequest for one that this browser did not begin."""
        try:
            flow = jwt.decode(self.get_cookie(FLOW_COOKIE) or "", self.ctx.secret, algorithms=["HS256"],
                              audience=FLOW_AUDIENCE, options={"require": ["exp", "aud"]})
        except jwt.InvalidTokenError:
            raise BadRequest("this login was not begun here, or took too long; please begin again") from None
        if not hmac.compare_digest(str(flow["state"]), self.query("state") or ""):
            raise BadRequest("state: this is the answer to another login; please begin again")
        return flow

    def _session(self, caller: Caller, hours: float) -> str:
        """A token of our own for the session: small, and revoked with those of the issuer."""
        known = {name: caller.claims[name] for name in ("email", "email_verified") if name in caller.claims}
        return encode(self.ctx.secret, caller.username, caller.roles, groups=caller.groups, hours=hours,
                      **caller.descent, **known)


class Logout(PageHandler):
    """Forget the session."""

    @allow("everybody")
    def post(self) -> None:
        self.clear_cookie(COOKIE, path="/")
        self.redirect("/web/login", status=303)


ROUTES = [
    Route("/web/login", Login, "web"),
    Route("/web/login/once", Once, "web"),
    Route("/web/login/issuer", ToIssuer, "web"),
    Route("/web/login/callback", FromIssuer, "web"),
    Route("/web/logout", Logout, "web"),
]
