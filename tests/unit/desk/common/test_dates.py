"""Dates as clients spell them."""

from __future__ import annotations

from datetime import datetime

import pytest

from server.common.errors import BadRequest
from server.desk.common.dates import parse_date


@pytest.mark.parametrize(("text", "moment"), [
    ("2023", (2023, 1, 1)), ("2023-03", (2023, 3, 1)), ("2023/3/5", (2023, 3, 5)),
    ("2023.03.05", (2023, 3, 5)),
    ("20230305", (2023, 3, 5)), ("2023-W10-7", (2023, 3, 12)), ("2023-064", (2023, 3, 5)),
    ("2024366T01:02", (2024, 12, 31, 1, 2)), ("2023-03-05T24:00:00", (2023, 3, 6)),
    ("2023-12-31 24:00Z", (2024, 1, 1)), ("20230305T24", (2023, 3, 6)),
    ("2023-03-05T01:02:03.1239+01:00", (2023, 3, 5, 0, 2, 3, 123000))])
def test_spellings(text: str, moment: tuple[int, ...]) -> None:
    assert parse_date(text, "date") == datetime(*moment)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [
    "yesterday", "2023-13-01", "2023-366", "2023-000", "2023-0640", "2023-03-05T24:01", "2023-03-05T25", "",
    "9999-12-31T24:00", "0001-000"])
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(BadRequest, match="date: not a date"):
        parse_date(text, "date")
