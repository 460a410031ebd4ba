"""Files of a federation: the director says where, the token goes there, and further places are tried."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from grid.moving import pelican
from grid.moving.errors import TransferFailed
from grid.moving.here import Here
from grid.moving.items import Means
from tests.support.storage.web import Storage, redirect, status
from tests.unit.grid.moving.conftest import fetch, made, place, store, wanted

DATA = random.Random(1).randbytes(200_000)
OBJECT, ORIGIN = "/api/v1.0/director/object/ns/x", "/api/v1.0/director/origin/ns/x"


@pytest.fixture
def federation(make_storage: Callable[..., Storage]) -> tuple[Storage, Storage, Storage]:
    """A director, a cache and an origin; the cache and the origin want a token."""
    director, cache, origin = make_storage(), make_storage(token="T"), make_storage(token="T")
    cache.files["/ns/x"] = DATA
    director.always["GET", OBJECT] = redirect(f"{cache.url}/ns/x", Link=(
        f'<{origin.url}/ns/x>; rel="duplicate"; pri=2; depth=2, '
        f'<{cache.url}/ns/x>; rel="duplicate"; pri=1; depth=2'))
    director.always["PUT", ORIGIN] = redirect(f"{origin.url}/ns/x")
    return director, cache, origin


def there(directory: Path, director: Storage, scheme: str = "osdf:///ns") -> Here:
    host = "osg-htc.org" if scheme.startswith("osdf") else "fed.example.org"
    means = Means(patience=5.0, directors={host: director.url})
    return place(directory, means, tokens=[{"prefix": scheme, "token": "T", "expires": 0}], patience=5.0)


@pytest.mark.parametrize("base", ["osdf:///ns", "osdf://ns", "pelican://fed.example.org/ns"])
def test_the_token_goes_to_the_cache_and_not_to_the_director(
        federation: tuple[Storage, Storage, Storage], tmp_path: Path, base: str) -> None:
    director, cache, _ = federation
    here = there(tmp_path / "w", director, base)
    fetch(here, wanted(f"{base}/x"))
    assert (tmp_path / "w" / "file").read_bytes() == DATA
    assert [one.path for one in director.asked] == [OBJECT]
    assert "Authorization" not in director.asked[0].headers
    assert cache.asked[0].headers["Authorization"] == "Bearer T"


def test_another_place_is_tried_when_one_fails(federation: tuple[Storage, Storage, Storage],
                                               tmp_path: Path) -> None:
    director, cache, origin = federation
    cache.always["GET", "/ns/x"] = status(500)
    origin.files["/ns/x"] = DATA
    here = there(tmp_path / "w", director)
    fetch(here, wanted("osdf:///ns/x"))
    assert (tmp_path / "w" / "file").read_bytes() == DATA
    assert (len(cache.asked), len(origin.asked)) == (1, 1)


def test_outputs_go_to_the_origin(federation: tuple[Storage, Storage, Storage], tmp_path: Path) -> None:
    director, _, origin = federation
    here = there(tmp_path / "w", director)
    (tmp_path / "w" / "file").write_bytes(DATA)
    assert store(here, made("osdf:///ns/x")) == []
    assert origin.files["/ns/x"] == DATA
    assert [one.method for one in director.asked] == ["PUT"]


@pytest.mark.parametrize(("code", "tries"), [(404, 1), (503, 5)])
def test_what_the_director_says_is_said(federation: tuple[Storage, Storage, Storage], tmp_path: Path,
                                        code: int, tries: int) -> None:
    director, *_ = federation
    director.always["GET", OBJECT] = status(code)
    with pytest.raises(TransferFailed, match=f"osdf:///ns/x: HTTP {code}"):
        fetch(there(tmp_path / "w", director), wanted("osdf:///ns/x"))
    assert len(director.asked) == tries


def test_a_federation_names_its_director(make_storage: Callable[..., Storage], tmp_path: Path,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    host, director, cache = make_storage(), make_storage(), make_storage()
    host.files["/.well-known/pelican-configuration"] = f'{{"director_endpoint": "{director.url}"}}'.encode()
    cache.files["/ns/x"] = DATA
    director.always["GET", OBJECT] = redirect(f"{cache.url}/ns/x")
    monkeypatch.setattr(pelican, "_SCHEME", "http")
    monkeypatch.setattr(pelican, "_known", {})
    here = place(tmp_path / "w", Means(patience=5.0), patience=5.0)
    remote = host.url.replace("http", "pelican") + "/ns/x"
    fetch(here, wanted(remote), wanted(remote, "again"))
    assert (tmp_path / "w" / "again").read_bytes() == DATA
    assert len(host.asked) == 1
    host.files["/.well-known/pelican-configuration"] = b"<html>"
    monkeypatch.setattr(pelican, "_known", {})
    with pytest.raises(TransferFailed, match="names no director"):
        fetch(here, wanted(remote, "third"))
