"""What a message says in each form, whatever people wrote into what it tells of."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from server.notifications import rendering
from server.notifications.notes import Note
from server.notifications.rendering import Content
from server.notifications.topics import TOPICS

texts = st.text(max_size=80)
notes = st.builds(
    Note, note_id=st.just("n"), rule_id=st.just("r"), username=st.just("ada"), event=st.just("scan_final"),
    title=texts, text=texts, path=st.just("/web/scans/1"), at=st.floats(0, 2e9), created=st.just(0.0),
    facts=st.dictionaries(st.sampled_from("abc"), texts | st.integers(0, 9) | st.none()))


def content(items: list[Note], rule: str = "mine", count: int | None = None) -> Content:
    return Content("key", "r", rule, "ada", "scan_final", rendering.subject_of("scan_final", items), count or
                   len(items), items, "https://iceprod.example.org", is_test=not items)


@given(st.lists(notes, max_size=5), texts)
def test_a_mail_has_a_line_for_each(items: list[Note], rule: str) -> None:
    lines = rendering.mail_text(content(items, rule)).splitlines()
    assert len([line for line in lines if line.endswith("/web/scans/1")]) == len(items)
    assert lines[-1] == "https://iceprod.example.org/web/notifications"
    assert lines[-3] == "-- "


@given(st.lists(notes, max_size=5))
def test_slack_gets_a_text_and_no_markup_of_others(items: list[Note]) -> None:
    body = json.loads(rendering.slack_body(content(items)))
    assert list(body) == ["text"]
    assert len(re.findall(r"<https://iceprod\.example\.org/web/scans/1\|", body["text"])) == len(items)
    assert body["text"].count("<") == len(items), "nobody calls <!everyone>"


@given(st.lists(notes, max_size=5))
def test_programs_get_everything(items: list[Note]) -> None:
    body = json.loads(rendering.webhook_body(content(items)))
    assert [item["title"] for item in body["items"]] == [note.title for note in items]
    assert [item["facts"] for item in body["items"]] == [note.facts for note in items]


def test_the_rest_is_counted() -> None:
    note = Note(note_id="n", rule_id="r", username="ada", event="scan_final", title="t", text="", path="/p",
                at=0.0, created=0.0, facts={})
    whole = content([note] * 100, count=1000)
    assert "and 950 more." in rendering.mail_text(whole)
    assert "and 980 more." in json.loads(rendering.slack_body(whole))["text"]
    assert len(json.loads(rendering.webhook_body(whole))["items"]) == rendering.MOST_ITEMS
    assert rendering.subject_of("scan_final", [note] * 3) == f"3 {TOPICS['scan_final'].many}"
    assert rendering.subject_of("scan_final", [note]) == "t"
