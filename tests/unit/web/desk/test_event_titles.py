"""Titles of events, from what is known of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from server.desk.maps.event_list import Row
from server.web.desk.event_titles import title

WHEN = datetime(2023, 12, 2, 5, 13, 44)


def row(aliases: list[str], **of_map: Any) -> Row:
    fields = {"area_90": 0.9, "name": "m", **of_map}
    return Row({"dateobs": WHEN, "aliases": aliases, "tags": []}, [fields] if of_map else [])


@pytest.mark.parametrize(("given", "reco", "text"), [
    (row(["run138632.evt31747601", "abc"], scan_id="abc", levels="wilks"), "track",
     "IceCube-231202A · track · 0.9 deg² (90 %, Wilks)"),
    (row(["abc", "run7.evt8"], scan_id="abc", levels="calibrated_cascade"), "",
     "run 7, event 8 · cascade · 0.9 deg² (90 %, calibrated)"),
    (row(["abc"], scan_id="abc", levels="ic160427a"), "millipede_original",
     "event of 2023-12-02 05:13:44 · millipede_original · 0.9 deg² (90 %, IC160427A)"),
    (row(["ivo://there/streams#S1", "GRB 231202A"], levels=""), "", "GRB 231202A · 0.9 deg² (90 %)"),
    (row(["ivo://there/streams#S1"]), "", "streams#S1"), (row([]), "", "event of 2023-12-02 05:13:44"),
])  # fmt: skip
def test_titles(given: Row, reco: str, text: str) -> None:
    told = title(given, {"138632_31747601": "IceCube-231202A"}, {"abc": reco})
    assert str(told).replace("\u00a0", " ") == text


def test_what_under_covers_says_so() -> None:
    assert title(row(["x"], levels="wilks"), {}, {}).caution == "under-covers"
