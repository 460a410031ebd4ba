"""Sizes as people write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.common.errors import BadRequest
from server.scans.manifests.sizes import parse_size


@pytest.mark.parametrize(("text", "size"), [
    ("8G", 8 * 10**9), ("8GB", 8 * 10**9), ("1GiB", 2**30), ("512M", 512 * 10**6), ("1.5 GB", 1_500_000_000),
    ("1024 MB", 1_024_000_000), ("7", 7), ("7 B", 7), (".5k", 500), ("2 Ti", 2 * 2**40), ("3 bytes", 3)])
def test_units(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", [
    "8 bananas", "8Q", "1e", "1e3", "-", "-1", "GB", "", "foo", "1,5 GB", "٣G", "9" * 40, "99999999 PB"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="invalid size"):
        parse_size(text)


@given(st.integers(0, 1 << 50))
def test_numbers_and_their_text_agree(n: int) -> None:
    assert parse_size(n) == parse_size(str(n)) == parse_size(f" {n}B ") == n


@given(st.text(max_size=20))
def test_any_text_is_a_size_or_refused(text: str) -> None:
    with contextlib.suppress(BadRequest):
        assert 0 <= parse_size(text) < 1 << 63
