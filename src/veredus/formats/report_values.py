"""What a report says: delivery status (RFC 3464) and message disposition (RFC 8098) notifications."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, TypeAlias

from msgspec import Struct

Action: TypeAlias = Literal["failed", "delayed", "delivered", "relayed", "expanded"]

EXPIRED: Final = "5.4.7"
"""The status of what was tried until its time was over (RFC 3463 §3.5)."""


class Recipient(Struct, frozen=True, kw_only=True):
    """What became of one recipient (RFC 3464 §2.3).

    Addresses have no type before them ("rfc822;" is cut off). ``status``: "5.1.1". ``diagnostic`` is one
    line, for most the SMTP reply; None where nothing was said. ``remote_mta``: the host that said so.
    """

    final_recipient: str
    original_recipient: str | None = None
    action: Action
    status: str
    diagnostic: str | None = None
    remote_mta: str | None = None


class Disposition(Struct, frozen=True, rename="camel"):
    """The Disposition field (RFC 8098 §3.2.6), all in lower case.

    action mode: manual-action, automatic-action. sending mode: mdn-sent-manually, mdn-sent-automatically.
    type: deleted, dispatched, displayed, processed; others occur in what is read.
    """

    action_mode: str
    sending_mode: str
    type: str
    modifiers: tuple[str, ...] = ()


class Mdn(Struct, frozen=True, kw_only=True):
    """The machine-readable part of an MDN (RFC 8098 §3.1).

    Recipients are as the field has them: "rfc822; joe@example.com". ``original_message_id`` has no brackets.
    ``errors``: the Error fields. ``extension_fields`` are in the order and spelling of the message.
    """

    final_recipient: str
    original_recipient: str | None = None
    original_message_id: str | None = None
    disposition: Disposition
    reporting_ua: str | None = None
    gateway: str | None = None
    errors: tuple[str, ...] = ()
    extension_fields: Mapping[str, str] = {}

    @property
    def final_address(self) -> str:
        """The final recipient without the type before it."""
        return self.final_recipient.partition(";")[2].strip() or self.final_recipient


class Report(Struct, frozen=True, kw_only=True):
    """A report that came in.

    ``message_id``: of the message it is about, without brackets; None where nothing of it was returned.
    ``envelope_id``: the ENVID that was given with it (RFC 3461 §4.4). ``recipients``: of a DSN, each once.
    ``text``: what it says to a person. ``mdn``: of a disposition notification.
    """

    kind: Literal["dsn", "mdn"]
    envelope_id: str | None = None
    reporting_mta: str | None = None
    message_id: str | None = None
    recipients: tuple[Recipient, ...] = ()
    text: str = ""
    mdn: Mdn | None = None


class Notice(Struct, frozen=True, kw_only=True):
    """A delivery status notification to be written (RFC 3464).

    ``hostname``: the reporting MTA, and the domain of the mailer-daemon that it is from. ``to``: the sender
    of the message. An ``original_recipient`` may have its type before it, as ORCPT has ("rfc822;joe@a.test").
    ``full``: RET=FULL was asked for. ``retry_until``: for those that are delayed.
    """

    hostname: str
    to: str
    recipients: tuple[Recipient, ...]
    message_id: str
    date: datetime
    envelope_id: str | None = None
    arrived_at: datetime | None = None
    retry_until: datetime | None = None
    full: bool = False


class Notification(Struct, frozen=True, kw_only=True):
    """A message disposition notification to be written (RFC 8098).

    ``sender``: the From field. ``to``: the addresses of Disposition-Notification-To, or of a return path.
    ``text``: what a person reads. ``mdn.original_message_id`` also becomes In-Reply-To and References.
    """

    sender: str
    sender_name: str | None = None
    to: tuple[str, ...]
    subject: str
    text: str
    message_id: str
    date: datetime
    mdn: Mdn
