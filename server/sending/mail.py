"""Letters: how a mail is written and handed to a mail server (SMTP, RFC 5321)."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate

from server.sending.outbox import SendError

__all__ = ["Attachment", "Letter", "MailServer", "one_line", "send"]

SECONDS = 15.0
MOST_SUBJECT = 150  # characters


@dataclass(frozen=True)
class MailServer:
    """Where letters are handed in."""

    address: str  # host:port
    starttls: bool = False
    tls: bool = False  # from the first byte
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Attachment:
    """A file of a letter; its type is a MIME one, such as application/json."""

    name: str
    type: str
    content: bytes


@dataclass(frozen=True)
class Letter:
    """A mail; of the same key at every try, by which receivers know it as the same."""

    key: str
    thread: str  # letters of one have the same
    sender: str
    recipients: Sequence[str]
    subject: str
    text: str
    attachments: Sequence[Attachment] = ()
    headers: Sequence[tuple[str, str]] = ()


def one_line(text: str, most: int = MOST_SUBJECT) -> str:
    """A text for a header: one line, without what is no character; so nobody adds headers of their own."""
    shown = "".join(" " if unicodedata.category(one).startswith(("C", "Z")) else one for one in text)
    line = " ".join(shown.split())
    return line if len(line) <= most else f"{line[:most - 1]}…"


async def send(server: MailServer, letter: Letter, threads: ThreadPoolExecutor) -> str:
    """Hand a letter in; what came of it. Raises SendError.

    The threads are the caller's own: whose mail server hangs waits alone.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(2 * SECONDS):
            return await loop.run_in_executor(threads, _hand_in, server, letter)
    except TimeoutError:
        raise SendError("no answer in time") from None
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise SendError(f"{type(error).__name__}: {error}"[:500]) from None


def written(letter: Letter) -> EmailMessage:
    """The letter as it travels."""
    message = EmailMessage()
    message["From"], message["To"] = letter.sender, ", ".join(letter.recipients)
    message["Subject"], message["Date"] = one_line(letter.subject), formatdate()
    place = letter.sender.rstrip(">").rpartition("@")[2] or "iceprod"
    message["Message-ID"], message["References"] = f"<{letter.key}@{place}>", f"<{letter.thread}@{place}>"
    for name, value in letter.headers:
        message[name] = value
    message.set_content(letter.text)
    for one in letter.attachments:
        main, _, sub = one.type.partition("/")
        message.add_attachment(one.content, maintype=main, subtype=sub, filename=one.name)
    return message


def _hand_in(server: MailServer, letter: Letter) -> str:
    message = written(letter)
    with _connected(server) as connection:
        if server.starttls:
            connection.starttls(context=ssl.create_default_context())
        if server.username:
            connection.login(server.username, server.password)
        connection.send_message(message)
    return f"mailed to {len(letter.recipients)}"


def _connected(server: MailServer) -> smtplib.SMTP:
    host, _, port = server.address.partition(":")
    if server.tls:
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(host, int(port or 465), timeout=SECONDS, context=context)
    return smtplib.SMTP(host, int(port or 25), timeout=SECONDS)
