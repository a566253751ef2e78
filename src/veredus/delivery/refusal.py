"""Telling a sender that a message is refused after it was taken (RFC 5429, RFC 3464)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from veredus.delivery.compose import one_line
from veredus.formats.mime.email import convenience
from veredus.formats.mime.header import Header
from veredus.formats.report import Disposition, Mdn, Notice, Notification, Recipient, write_dsn, write_mdn
from veredus.reception import Reply
from veredus.wire.ids import new_id

_MAX_REASON: Final = 16 * 1024


def reply(reason: str) -> Reply:
    """In the dialogue; a reason that ASCII cannot say is left out (RFC 5429 §2.1.1)."""
    lines = [line for line in reason[:2000].replace("\r", "").split("\n") if line.strip()][:20]
    text = "\n".join(lines)
    return Reply(550, "5.7.1", text if text and text.isascii() else "The recipient refuses this message")


def failed(address: str, given: Reply) -> Recipient:
    """What a reply says of a recipient, for a report."""
    return Recipient(
        final_recipient=address,
        action="failed",
        status=given.enhanced or f"{given.code // 100}.0.0",
        diagnostic=f"{given.code} {given.enhanced} {one_line(given.text)}",
    )


def bounce(hostname: str, sender: str, replies: Mapping[str, Reply], original: bytes, now: datetime) -> bytes:
    """The report for those who did not get a message (RFC 3464), by address."""
    recipients = tuple(failed(address, given) for address, given in replies.items())
    notice = Notice(
        hostname=hostname,
        to=sender,
        recipients=recipients,
        message_id=f"{new_id('d')}@{hostname}",
        date=now,
        arrived_at=now,
    )
    return write_dsn(notice, original)


def rejection(
    hostname: str, sender: str, recipient: str, reason: str, headers: Sequence[Header], now: datetime
) -> bytes:
    """The message that ``reject`` sends: an MDN, "deleted" without being seen (RFC 5429 §2.2, RFC 8098)."""
    known = convenience(headers)
    message_id = (known["messageId"] or [None])[0]
    mdn = Mdn(
        final_recipient=recipient,
        original_message_id=message_id,
        disposition=Disposition("automatic-action", "mdn-sent-automatically", "deleted"),
        reporting_ua=f"{hostname}; Veredus",
    )
    notification = Notification(
        sender=recipient,
        to=(sender,),
        subject=one_line(f"Rejected: {known['subject'] or 'your message'}"),
        text=f"Your message was refused by its recipient. The reason given is:\n\n{reason[:_MAX_REASON]}\n",
        message_id=f"{new_id('d')}@{hostname}",
        date=now,
        mdn=mdn,
    )
    return write_mdn(notification, None)
