"""Settings of the notifications: how users may be told, and how often."""

from __future__ import annotations

import msgspec

from config.parts import Part

__all__ = ["Notify", "Smtp"]


class Smtp(Part, frozen=True):
    """The mail server for notifications. Without an address and a sender nobody is mailed."""

    address: str = ""  # host:port; empty: no mails
    sender: str = ""  # whom mails are from
    starttls: bool = False  # whether to encrypt after the first words; the certificate is checked
    tls: bool = False  # whether to encrypt from the first byte; the certificate is checked
    username: str = ""  # empty: no login
    password: str = ""  # of that login

    def __post_init__(self) -> None:
        if bool(self.address) != bool(self.sender):
            raise ValueError("notify.smtp: address and sender go together")
        if self.starttls and self.tls:
            raise ValueError("notify.smtp: starttls or tls, not both")
        if self.username and not (self.starttls or self.tls):
            raise ValueError("notify.smtp: a password needs starttls or tls")
        if any(not one.isprintable() for one in (self.address, self.sender)):
            raise ValueError("notify.smtp: address and sender are one line each")

    @property
    def is_on(self) -> bool:
        return bool(self.address)


class Notify(Part, frozen=True):
    """Telling users what happened, by the rules that they make."""

    smtp: Smtp = Smtp()  # the mail server
    # whom any user may mail: addresses, or *@ and a domain; their own verified address besides
    allowed_recipients: list[str] = msgspec.field(default_factory=list)
    # hosts (host or host:port) that may be posted to although they are inside, also by http
    allowed_hosts: list[str] = msgspec.field(default_factory=list)
    rules_per_user: int = 20  # more are refused
    gather_seconds: float = 5.0  # what happens within is told together
    pause_minutes: float = 5.0  # between two messages of a rule that does not say; what happens then waits
    messages_per_hour: int = 30  # to one user, over all rules; the rest waits and is told together
    tries: int = 20  # of sending a message; then it is given up
    retry_seconds: float = 10.0  # before the second try; doubles each time, up to an hour
    rights_days: float = 180.0  # the rights of a rule's owner count for so long after the last visit
    kept_days: float = 90.0  # of the log

    def __post_init__(self) -> None:
        for name in ("rules_per_user", "messages_per_hour", "tries"):
            if getattr(self, name) < 1:
                raise ValueError(f"notify.{name}: must be at least 1")
        for name in ("gather_seconds", "pause_minutes", "retry_seconds"):
            if not 0 <= getattr(self, name) <= 86400:
                raise ValueError(f"notify.{name}: must be from 0 to 86400")
        for name in ("rights_days", "kept_days"):
            if not 0 < getattr(self, name) <= 3650:
                raise ValueError(f"notify.{name}: must be more than 0, and at most 3650")
        for one in self.allowed_recipients:
            name, at, domain = one.partition("@")
            if not (at and name and domain) or "*" in domain or ("*" in name and name != "*"):
                raise ValueError(f"notify.allowed_recipients: {one!r} is no address, nor *@ and a domain")
