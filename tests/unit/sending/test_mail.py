"""Letters: nobody adds headers or recipients by what they write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.sending import mail
from server.sending.mail import Letter, MailServer, one_line, written
from server.sending.outbox import SendError
from tests.support.notifications.receivers import mailbox

THREADS = ThreadPoolExecutor(1)


def letter(subject: str = "hello", text: str = "words") -> Letter:
    return Letter("key", "thread", "IceProd <iceprod@example.org>", ["me@example.org"], subject, text)


@given(st.text(max_size=300))
def test_a_subject_is_one_line(text: str) -> None:
    line = one_line(text)
    assert "\n" not in line
    assert "\r" not in line
    assert len(line) <= mail.MOST_SUBJECT
    message = written(letter(text))
    assert [name for name, _ in message.items() if name.lower() in ("bcc", "cc", "x-evil")] == []
    assert str(message["Subject"]) == line


def test_headers_cannot_be_added() -> None:
    message = written(letter("x\r\nBcc: everybody@example.org\u2028X-Evil: 1"))
    assert message["Bcc"] is None
    assert message["Subject"] == "x Bcc: everybody@example.org X-Evil: 1"


async def test_a_letter_arrives() -> None:
    with mailbox() as box:
        said = await mail.send(MailServer(box.address), letter(text="Grüße\n.\nend"), THREADS)
        assert said == "mailed to 1"
        (recipients, message), = box.got
        assert recipients == ["me@example.org"]
        assert message["Message-ID"] == "<key@example.org>"
        assert message["References"] == "<thread@example.org>"
        assert message["Date"]
        text = message.get_payload(decode=True)
        assert isinstance(text, bytes)
        assert text.decode().replace("\r\n", "\n") == "Grüße\n.\nend\n"


async def test_refusals_say_why() -> None:
    with mailbox() as box:
        box.refuses = "550 no such user here"
        with pytest.raises(SendError, match="no such user here"):
            await mail.send(MailServer(box.address), letter(), THREADS)
        address = box.address
    with pytest.raises(SendError, match="refused"):
        await mail.send(MailServer(address), letter(), THREADS)


async def test_no_password_travels_in_the_open() -> None:
    with mailbox() as box:
        server = MailServer(box.address, starttls=True, username="u", password="p")
        with pytest.raises(SendError):
            await mail.send(server, letter(), THREADS)
        assert not box.got
