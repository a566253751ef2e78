"""The data types of mail, as a client reads them (RFC 8621)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from veredus.client.record import Property, Record, date, each, keys
from veredus.wire.types import Id, JsonObject


class EmailAddress(Struct, frozen=True):
    """RFC 8621 §4.1.2.3."""

    email: str
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>" if self.name else self.email


def _address(value: JsonObject) -> EmailAddress:
    return EmailAddress(email=str(value.get("email") or ""), name=value.get("name"))


class EmailBodyPart(Record):
    """§4.1.4."""

    TYPE = "EmailBodyPart"
    __slots__ = ()

    part_id = Property[str | None]("partId")
    blob_id = Property[Id | None]("blobId")
    size = Property[int]("size")
    name = Property[str | None]("name")
    type = Property[str]("type")
    charset = Property[str | None]("charset")
    disposition = Property[str | None]("disposition")
    cid = Property[str | None]("cid")


_parts = each(EmailBodyPart)
_addresses = each(_address)


class Email(Record):
    """§4. Sets are frozensets, dates are datetimes; the JSON itself is in ``json``."""

    TYPE = "Email"
    __slots__ = ()

    blob_id = Property[Id]("blobId")
    thread_id = Property[Id]("threadId")
    mailbox_ids = Property[frozenset[Id]]("mailboxIds", keys)
    keywords = Property[frozenset[str]]("keywords", keys)
    size = Property[int]("size")
    received_at = Property[datetime]("receivedAt", date)
    message_id = Property[list[str] | None]("messageId")
    in_reply_to = Property[list[str] | None]("inReplyTo")
    references = Property[list[str] | None]("references")
    sender = Property[list[EmailAddress] | None]("sender", _addresses)
    from_ = Property[list[EmailAddress] | None]("from", _addresses)
    to = Property[list[EmailAddress] | None]("to", _addresses)
    cc = Property[list[EmailAddress] | None]("cc", _addresses)
    bcc = Property[list[EmailAddress] | None]("bcc", _addresses)
    reply_to = Property[list[EmailAddress] | None]("replyTo", _addresses)
    subject = Property[str | None]("subject")
    sent_at = Property[datetime | None]("sentAt", date)
    has_attachment = Property[bool]("hasAttachment")
    preview = Property[str]("preview")
    body_values = Property[Mapping[str, JsonObject]]("bodyValues")
    body_structure = Property[EmailBodyPart]("bodyStructure", EmailBodyPart)
    text_body = Property[list[EmailBodyPart]]("textBody", _parts)
    html_body = Property[list[EmailBodyPart]]("htmlBody", _parts)
    attachments = Property[list[EmailBodyPart]]("attachments", _parts)

    def text(self) -> str:
        """The text of ``textBody``; needs ``textBody`` and ``bodyValues`` (fetchTextBodyValues)."""
        values: Mapping[str, Any] = self.body_values
        return "\n".join(
            values[part.part_id]["value"]
            for part in self.text_body
            if part.part_id and part.part_id in values
        )


class Mailbox(Record):
    """§2."""

    TYPE = "Mailbox"
    __slots__ = ()

    name = Property[str]("name")
    parent_id = Property[Id | None]("parentId")
    role = Property[str | None]("role")
    sort_order = Property[int]("sortOrder")
    total_emails = Property[int]("totalEmails")
    unread_emails = Property[int]("unreadEmails")
    total_threads = Property[int]("totalThreads")
    unread_threads = Property[int]("unreadThreads")
    my_rights = Property[Mapping[str, bool]]("myRights")
    is_subscribed = Property[bool]("isSubscribed")


class Thread(Record):
    """§3. ``email_ids``: oldest first."""

    TYPE = "Thread"
    __slots__ = ()

    email_ids = Property[list[Id]]("emailIds")


class Identity(Record):
    """§6."""

    TYPE = "Identity"
    __slots__ = ()

    name = Property[str]("name")
    email = Property[str]("email")
