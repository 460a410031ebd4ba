from __future__ import annotations

import stat
from pathlib import Path

import jwt
import pytest

from iceprod.tokens import TokenError, decode, encode, read_secret

SECRET = "s" * 48


def test_round_trip() -> None:
    caller = decode(SECRET, encode(SECRET, "ada", ["user", "pilot"], groups=["users", "simprod"]))
    assert caller.username == "ada"
    assert caller.roles == {"user", "pilot"}
    assert caller.groups == ("users", "simprod")
    assert not caller.bypasses_datasets


def test_no_roles_is_a_valid_token() -> None:
    assert decode(SECRET, encode(SECRET, "ada", [])).roles == frozenset()


@pytest.mark.parametrize("token", [
    "", "a.b.c", encode("t" * 48, "ada", ["admin"]), encode(SECRET, "ada", ["admin"], hours=-1),
    jwt.encode({"sub": "ada", "exp": 9e9, "iss": "someone else"}, SECRET, algorithm="HS256"),
    jwt.encode({"sub": "ada", "exp": 9e9, "iss": "iceprod"}, None, algorithm="none"),
    jwt.encode({"sub": "ada", "iss": "iceprod"}, SECRET, algorithm="HS256"),
])
def test_refused(token: str) -> None:
    with pytest.raises(TokenError):
        decode(SECRET, token)


def test_unknown_roles_are_dropped() -> None:
    token = jwt.encode({"sub": "a", "exp": 9e9, "iss": "iceprod", "roles": ["root", "user"]}, SECRET)
    assert decode(SECRET, token).roles == {"user"}


def test_the_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    first = read_secret(path)
    assert len(first) >= 48
    assert read_secret(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
