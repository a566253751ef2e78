"""Notifications by mail that a script asks for (RFC 5435, RFC 5436)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from veredus.delivery.answer import Own
from veredus.delivery.compose import Heading, compose, is_address, text
from veredus.formats.mime.addresses import as_addresses
from veredus.formats.mime.email import convenience
from veredus.formats.mime.header import Header
from veredus.formats.sieve.outcome import Notify

MOST: Final = 10
"""Notifications of one message."""
_MOST_RECIPIENTS: Final = 10
_IMPORTANCE: Final = {1: "high", 2: "normal", 3: "low"}


class Target(Struct):
    """A mailto URI (RFC 6068): whom, and what is to be said."""

    to: list[str]
    cc: list[str]
    bcc: list[str]
    subject: str | None = None
    body: str | None = None

    @property
    def recipients(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.to, *self.cc, *self.bcc]))


def target(uri: str) -> Target | None:
    """None: it is no mailto URI, or names nobody, or too many. Other fields are left out (RFC 5436 §2.7)."""
    scheme, _, rest = uri.partition(":")
    if scheme.strip().lower() != "mailto":
        return None
    path, _, query = rest.partition("?")
    found = Target(_addresses(path), [], [])
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        match unquote(name).lower():
            case "to":
                found.to += _addresses(value)
            case "cc":
                found.cc += _addresses(value)
            case "bcc":
                found.bcc += _addresses(value)
            case "subject":
                found.subject = unquote(value, errors="replace")
            case "body":
                found.body = unquote(value, errors="replace")
    return found if 0 < len(found.recipients) <= _MOST_RECIPIENTS else None


def _addresses(quoted: str) -> list[str]:
    return [
        address for part in quoted.split(",") for address in [unquote(part).strip()] if is_address(address)
    ]


class Notification(Struct, frozen=True, kw_only=True):
    """What a notification needs of the message and of the account."""

    headers: Sequence[Header]
    own: Own
    own_address: str
    hostname: str
    now: datetime

    def write(self, notify: Notify, target: Target) -> bytes:
        """RFC 5436 §2.7: Received fields of the message go along, so that a circle has an end."""
        about = convenience(self.headers)
        authors = ", ".join(author["email"] for author in about["from"] or ())
        subject = notify.message or target.subject or about["subject"] or "New message"
        given = as_addresses(notify.from_) if notify.from_ else []
        mine = given[0]["email"] if given and self.own.has(given[0]["email"]) else self.own_address
        heading = Heading(
            sender=mine,
            to=target.to or [mine],
            cc=target.cc,
            subject=subject,
            hostname=self.hostname,
            date=self.now,
            auto_submitted=f'auto-notified; owner-email="{self.own_address}"',
            others=[("Importance", _IMPORTANCE.get(notify.importance, "normal"))],
        )
        body = target.body or notify.message or f"From: {authors}\nSubject: {about['subject'] or ''}\n"
        return self._received() + compose(heading, text(body))

    def _received(self) -> bytes:
        return b"".join(
            f"{name}:{value}\r\n".encode() for name, value in self.headers if name.lower() == "received"
        )
