"""Notifications by mail that a script asks for (RFC 5435, RFC 5436)."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from veredus.delivery.compose import Heading, compose, text
from veredus.formats.mime.email import convenience
from veredus.formats.mime.header import Header
from veredus.formats.sieve import Notify
from veredus.formats.sieve.mailto import Mailto

MOST: Final = 10
"""Notifications of one message, to so many addresses in all."""
# It would become a line end on the way.
_LONE_CR = re.compile(r"\r(?!\n)")
_IMPORTANCE: Final = {1: "high", 2: "normal", 3: "low"}


class Notification(Struct, frozen=True, kw_only=True):
    """What a notification needs of the message and of the account."""

    headers: Sequence[Header]
    own_address: str
    hostname: str
    now: datetime

    def write(self, notify: Notify, uri: Mailto, recipient: str, sender: str) -> bytes:
        """To one of those whom the URI names, who need not know of the others. ``sender``: the From field.

        RFC 5436 §2.7: the Received fields of the message go along, so that a circle has an end.
        """
        about = convenience(self.headers)
        authors = ", ".join(author["email"] for author in about["from"] or ())
        heading = Heading(
            sender=sender,
            to=recipient,
            subject=notify.message or uri.subject or about["subject"] or "New message",
            hostname=self.hostname,
            date=self.now,
            auto_submitted=f'auto-notified; owner-email="{self.own_address}"',
            others=[("Importance", _IMPORTANCE.get(notify.importance, "normal"))],
        )
        body = uri.body or notify.message or f"From: {authors}\nSubject: {about['subject'] or ''}\n"
        return self._received() + compose(heading, text(body))

    def _received(self) -> bytes:
        return b"".join(
            f"{name}:{_LONE_CR.sub(' ', value)}\r\n".encode()
            for name, value in self.headers
            if name.lower() == "received"
        )
