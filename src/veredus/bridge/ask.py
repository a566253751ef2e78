"""What an operator asks for an account: read again what is there, or what has changed since a state.

Nothing is published here. A snapshot is left in KV for whoever reads the account; a cursor is set back by
compare-and-swap, which its reader notices. What the stream has already is not sent again either way: its
duplicate window knows it, and a reader that begins looks at the end of the stream.
"""

import re
from datetime import datetime

from msgspec import Struct

from veredus.bridge import control
from veredus.bridge.cursor import KvCursor, email_cursor, event_cursor
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.snapshot import Snapshot
from veredus.bridge.source import AccountSource, CannotCalculate
from veredus.bridge.streams import Streams
from veredus.client.errors import JMAPError

EMAIL = "Email"
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?")


class NotPossible(JMAPError):
    """What was asked for cannot be done; says what can."""


class Target(Struct, frozen=True):
    """A type of an account; ``in_events``: in the stream of events, not in that of Emails."""

    source: AccountSource
    streams: Streams
    settings: BridgeSettings
    type: str = EMAIL
    in_events: bool = False

    @property
    def cursor(self) -> KvCursor:
        """Where its reader stands."""
        account = self.source.account
        if self.in_events:
            return event_cursor(self.streams.state, account, self.type)
        return email_cursor(self.streams.cursors, account)

    @property
    def snapshot(self) -> Snapshot:
        """What is to be read besides the changes."""
        pipeline = "events" if self.in_events else "emails"
        return Snapshot(self.source, self.streams.state, pipeline, self.settings.snapshot, type=self.type)


def utc_date(text: str) -> str:
    """The UTCDate (RFC 8620 §1.4) of a date or moment that a person wrote. Raises ValueError.

    To be checked before it is stored: a reader that is left a date which no server takes gets no further.
    """
    whole = text if "T" in text else f"{text}T00:00:00Z"
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        datetime.fromisoformat(whole)
    except ValueError:
        raise ValueError(f"{text!r} is no date: 2026-01-31, or 2026-01-31T08:00:00Z") from None
    return whole


async def ask_snapshot(target: Target, after: str | None) -> str:
    """Let the reader publish all received since ``after`` (UTCDate; None: everything) that is missing in
    the stream; the state from which it then follows. Raises JMAPError and NatsError."""
    state = await target.snapshot.ask(after, await target.cursor.load())
    await control.poke(target.streams.state, target.source.account)
    return state


async def set_back(target: Target, state: str) -> str | None:
    """Let the reader follow from ``state`` on; where it stood, None: nowhere.

    Raises NotPossible when the server cannot calculate from it, Conflict when the reader moved meanwhile.
    """
    try:
        await target.source.changes(target.type, state, ["id"])
    except CannotCalculate:
        raise NotPossible(
            f"{target.source.client.host}: the server cannot calculate changes since {state!r}: "
            "use --from-date, or take a state from the headers Jmap-Old-State of a message"
        ) from None
    cursor = target.cursor
    old = await cursor.load()
    await cursor.save(state)
    await control.poke(target.streams.state, target.source.account)
    return old
