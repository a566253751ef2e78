"""A message on its way from a file into an account, and its parsing, which may be another process's work."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from veredus.blob.names import id_of
from veredus.mail.email.admit import Prepared, newest_received, prepare, utc_date
from veredus.wire.errors import SetError
from veredus.wire.types import BlobId


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as it was found. ``data`` has CRLF line ends."""

    data: bytes
    # File and position, for a person who looks for it.
    where: str
    # Mailbox names from the top down.
    mailbox: tuple[str, ...] = ("INBOX",)
    keywords: frozenset[str] = field(default=frozenset())
    # When it came, if the message itself does not say.
    received: datetime | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """What became of an `Incoming`: ``prepared``, or the reason why not."""

    incoming: Incoming
    prepared: Prepared | None
    refusal: str = ""

    @property
    def blob_id(self) -> BlobId:
        assert self.prepared is not None
        blob_id: BlobId = self.prepared.email["blobId"]
        return blob_id


def parse(incoming: Incoming) -> Parsed:
    """Parse, and find when the message was received: by its trace, its date, or what the file says."""
    try:
        prepared = prepare(incoming.data, id_of(incoming.data), "")
    except SetError as error:
        return Parsed(incoming, None, error.description or error.type)
    email = prepared.email
    email["receivedAt"] = (
        newest_received(email["headers"])
        or email["sortSentAt"]
        or utc_date(incoming.received or datetime.now(UTC))
    )
    return Parsed(incoming, prepared)


def parse_all(batch: Sequence[Incoming]) -> list[Parsed]:
    """``parse``, in the form that a pool of processes is given."""
    return [parse(incoming) for incoming in batch]
