"""Reports on mail that the account has sent: found in what arrives, and told to the EmailSubmission."""

import asyncio
import re
from collections.abc import Mapping
from typing import Final

from veredus.formats.mime import message as messages
from veredus.formats.report import Recipient, Report, parse_report
from veredus.mail.submission import status
from veredus.mail.submission.shape import Delivered, DeliveryStatus
from veredus.ports import Transaction
from veredus.reception import Envelope
from veredus.wire.types import BlobId, JsonObject

_INLINE: Final = 64 * 1024
_REPLY: Final = re.compile(r"[2-5]\d\d[ -]")
_DELIVERED: Final[Mapping[str, Delivered]] = {"delivered": "yes", "failed": "no"}


async def report_in(envelope: Envelope, data: bytes, email: JsonObject) -> Report | None:
    """What the message reports. Only what comes from nobody (RFC 3464 §2), or says that it does, is read."""
    if envelope.sender and email["structure"]["type"] != "multipart/report":
        return None
    if len(data) > _INLINE:
        return await asyncio.to_thread(_report, data)
    return _report(data)


def _report(data: bytes) -> Report | None:
    return parse_report(messages.parse(data))


async def link(tx: Transaction, report: Report, blob: BlobId) -> None:
    """Tell the EmailSubmission that the report is about of it, if the account has such a one."""
    submission = await status.find(tx, report.envelope_id, report.message_id)
    if submission is not None:
        await status.add_report(tx, submission, blob, report.kind, _statuses(report))


def _statuses(report: Report) -> dict[str, DeliveryStatus]:
    """By address: of the message, where the report says which it was before it was rewritten."""
    if report.mdn is not None:
        if report.mdn.disposition.type != "displayed":
            return {}
        address = report.mdn.original_recipient or report.mdn.final_recipient
        return {_untyped(address): DeliveryStatus("", "unknown", "yes")}
    return {
        recipient.original_recipient or recipient.final_recipient: DeliveryStatus(
            _reply(recipient), _DELIVERED.get(recipient.action, "unknown")
        )
        for recipient in report.recipients
    }


def _reply(recipient: Recipient) -> str:
    """What the report has of a host's reply; else one of the form that RFC 8621 §7 wants of others."""
    said = recipient.diagnostic or recipient.action
    return said if _REPLY.match(said) else f"{recipient.status[0]}50 {recipient.status} {said}"


def _untyped(address: str) -> str:
    """Without "rfc822;" before it."""
    return address.rpartition(";")[2].strip()
