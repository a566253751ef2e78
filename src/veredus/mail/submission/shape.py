"""The EmailSubmission object as it is stored (RFC 8621 §7)."""

from typing import Literal, TypeAlias

from msgspec import Struct

from veredus.schema import BlobRef, Immutable, Indexed, Internal, Live, Object, ServerSet
from veredus.wire.types import BlobId, Id, UTCDate

TYPE = "EmailSubmission"

UndoStatus: TypeAlias = Literal["pending", "final", "canceled"]
Delivered: TypeAlias = Literal["queued", "yes", "no", "unknown"]
Displayed: TypeAlias = Literal["unknown", "yes"]


class Address(Struct, forbid_unknown_fields=True):
    """An address of an envelope with the parameters of its command; xtext is decoded."""

    email: str
    parameters: dict[str, str | None] | None = None


class Envelope(Struct, rename="camel", forbid_unknown_fields=True):
    """Who sends a message to whom."""

    mail_from: Address
    rcpt_to: list[Address]


class DeliveryStatus(Struct, frozen=True, rename="camel"):
    """What is known of one recipient."""

    smtp_reply: str
    delivered: Delivered
    displayed: Displayed = "unknown"


class EmailSubmission(Object):
    """Properties of an EmailSubmission."""

    id: ServerSet[Id]
    identity_id: Immutable[Indexed[Id]]
    email_id: Immutable[Indexed[Id]]
    thread_id: ServerSet[Indexed[Id]]
    envelope: Immutable[Envelope | None] = None
    send_at: ServerSet[UTCDate]
    undo_status: Live[Indexed[UndoStatus]] = "pending"
    # By address, exactly as the envelope has it.
    delivery_status: ServerSet[Live[dict[str, DeliveryStatus] | None]] = None
    dsn_blob_ids: ServerSet[Indexed[BlobRef[list[BlobId]]]] = []
    mdn_blob_ids: ServerSet[Indexed[BlobRef[list[BlobId]]]] = []
    # mail.outbox: to delete it is to cancel.
    departure_id: Internal[str] = ""
    # The Email's Message-ID, by which reports come back.
    message_id: Internal[Indexed[str | None]] = None
