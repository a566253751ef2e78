"""What a replica holds: types, which of their records, and which properties."""

from collections.abc import Mapping, Sequence
from typing import Any

from veredus.client import mail_types
from veredus.client.calls import named
from veredus.client.record import Record
from veredus.client.replica.keep import Keep
from veredus.wire.types import JsonObject

# What is told of an Email, without its text.
_EMAIL = (
    "blobId threadId mailboxIds keywords size receivedAt messageId inReplyTo references"
    " sender from to cc bcc replyTo subject sentAt hasAttachment preview"
).split()
_BODY = ("textBody", "htmlBody", "attachments", "bodyValues")
# So much text of each part is kept, in octets.
_MAX_BODY = 256 * 1024
_KNOWN: dict[str, type[Record]] = {
    each.TYPE: each for each in (mail_types.Email, mail_types.Mailbox, mail_types.Thread, mail_types.Identity)
}


def typed(kind: type[Record] | str) -> tuple[str, type[Record]]:
    """The data type's name, and the class of its records, also for a name."""
    name, record = named(kind)
    return name, _KNOWN.get(name, record) if isinstance(kind, str) else record


class Plan:
    """Raises ValueError, SearchError."""

    def __init__(
        self, keep: Mapping[str, str | None], properties: Mapping[str, Sequence[str]], *, bodies: bool
    ) -> None:
        for type, search in keep.items():
            if search is not None and type != "Email":
                raise ValueError(f"a search chooses Emails; of {type} all are kept: give None")
        if unknown := sorted(set(properties) - set(keep)):
            raise ValueError(f"properties of {', '.join(unknown)}, which are not kept")
        # Mailboxes first: a search may name them.
        types = sorted(keep, key=lambda type: type != "Mailbox")
        self.keep = {type: Keep(keep[type], bodies=bodies) for type in types}
        self.bodies = bodies
        self._properties = properties

    def fetched(self, type: str) -> tuple[list[str] | None, JsonObject]:
        """Properties (None: all), and further arguments of Foo/get."""
        given = self._properties.get(type)
        if type != "Email":
            return (None if given is None else sorted(given)), {}
        names = {*(given or _EMAIL), *self.keep[type].properties, "receivedAt"}
        extra: dict[str, Any] = {}
        if self.bodies:
            names |= {*_BODY}
            extra = {"fetchAllBodyValues": True, "maxBodyValueBytes": _MAX_BODY}
        return sorted(names), extra
