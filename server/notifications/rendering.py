"""What a message says, in each of its forms: a mail, JSON for programs, a line for Slack. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from server.notifications.notes import Note
from server.notifications.topics import TOPICS
from server.sending.mail import one_line

__all__ = ["MOST_ITEMS", "Content", "mail_text", "slack_body", "subject_of", "webhook_body"]

MOST_LINES, MOST_ITEMS, MOST_SLACK = 50, 100, 20


class Content(msgspec.Struct, frozen=True):
    """A message before it has a form."""

    key: str
    rule_id: str
    rule: str  # its name
    username: str
    event: str
    subject: str
    count: int
    items: Sequence[Note]  # the first of them
    base: str  # the address of our pages, without a slash at its end
    is_test: bool = False


def subject_of(event: str, notes: Sequence[Note]) -> str:
    """A message in one line."""
    if len(notes) == 1:
        return one_line(notes[0].title)
    return f"{len(notes)} {TOPICS[event].many}"


def mail_text(content: Content) -> str:
    """The text of a mail."""
    lines = [f"{content.subject}.", ""]
    for note in content.items[:MOST_LINES]:
        text = [f"  {_plain(note.text)}"] if note.text else []
        lines += [f"{_moment(note.at)}  {_plain(note.title)}", *text, f"  {content.base}{note.path}", ""]
    lines += [*_rest(content, MOST_LINES), "-- ",
              f"Sent by the rule {_plain(content.rule)!r} of {_plain(content.username)}, who changes it at",
              f"{content.base}/web/notifications"]
    return "\n".join(lines) + "\n"


def webhook_body(content: Content) -> bytes:
    """What programs get."""
    return msgspec.json.encode({
        "key": content.key, "event": content.event, "rule_id": content.rule_id, "rule": content.rule,
        "subject": content.subject, "count": content.count, "is_test": content.is_test,
        "items": [_item(content, note) for note in content.items[:MOST_ITEMS]]}, enc_hook=str)


def _item(content: Content, note: Note) -> dict[str, Any]:
    return {"at": note.at, "title": note.title, "text": note.text, "link": content.base + note.path,
            "facts": note.facts}


def slack_body(content: Content) -> bytes:
    """What Slack takes, and what speaks its language: a text, with &, < and > as its documentation says
    (docs.slack.dev, Formatting message text)."""
    lines = [f"*{_slack(content.subject)}*"]
    for note in content.items[:MOST_SLACK]:
        lines.append(f"• <{content.base}{note.path}|{_slack(note.title)}> {_slack(note.text)}".rstrip())
    lines += [_slack(line) for line in _rest(content, MOST_SLACK) if line]
    return msgspec.json.encode({"text": "\n".join(lines)})


def _rest(content: Content, shown: int) -> list[str]:
    left = content.count - min(len(content.items), shown)
    return [f"and {left} more.", ""] if left > 0 else []


def _slack(text: str) -> str:
    for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, name)
    return one_line(text, 500).replace("|", "¦")


def _plain(text: str) -> str:
    return one_line(text, 500)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
