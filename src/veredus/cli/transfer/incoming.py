"""A message on its way from a file into an account, and its parsing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias

from veredus.mail.email.admit import Prepared, newest_received, prepare
from veredus.wire.dates import utc_date
from veredus.wire.errors import SetError
from veredus.wire.types import BlobId

# No message is larger, and nothing that is larger is held in memory.
MAX_MESSAGE = 256 * 1024 * 1024

_LONE_LF = re.compile(rb"(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as it was found. ``data`` has CRLF line ends."""

    data: bytes
    # File and position, for a person who looks for it.
    where: str
    # Mailbox names from the top down.
    mailbox: tuple[str, ...]
    keywords: frozenset[str] = field(default=frozenset())
    # When it came, if the message itself does not say.
    received: datetime | None = None
    # What it took of its file.
    octets: int = 0


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place where a message should be, and why it could not be had."""

    where: str
    reason: str
    octets: int = 0


Found: TypeAlias = Incoming | Unreadable


class Message(NamedTuple):
    """What parsing needs to know, and no more, since it goes to another process."""

    data: bytes
    blob_id: BlobId
    received: datetime | None


def parse(message: Message) -> Prepared | str:
    """Parse, and find when the message was received: by its trace, its date, or what the file says.

    A string: why it is no message.
    """
    try:
        prepared = prepare(message.data, message.blob_id, "")
    except SetError as error:
        return error.description or error.type
    email = prepared.email
    email["receivedAt"] = (
        newest_received(email["headers"])
        or email["sortSentAt"]
        or utc_date(message.received or datetime.now(UTC))
    )
    return prepared


def parse_all(messages: Sequence[Message]) -> list[Prepared | str]:
    """``parse``, as a pool is given it."""
    return [parse(message) for message in messages]


def with_crlf(data: bytes) -> bytes:
    """Every line ends with CRLF, as in transport (RFC 5322 §2.3); a bare CR is left as it is."""
    if b"\r" not in data:
        return data.replace(b"\n", b"\r\n")
    return _LONE_LF.sub(b"\r\n", data)


def mailbox_path(name: str) -> tuple[str, ...]:
    """``Archive/2024`` as the names from the top down."""
    return tuple(part for part in name.split("/") if part)


def batches(found: Sequence[Incoming], size: int) -> list[Sequence[Incoming]]:
    """Slices of at most ``size`` messages."""
    return [found[start : start + size] for start in range(0, len(found), size)]
