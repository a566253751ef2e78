"""What the sender of a message is told of its recipients (RFC 3461 §4 and §5, RFC 3464)."""

import re
from collections.abc import Sequence
from datetime import datetime

from veredus.formats.report import Notice
from veredus.formats.report import Recipient as Reported
from veredus.formats.report_values import EXPIRED, Action
from veredus.outgoing.records import LOCAL, Queued, Recipient, place
from veredus.wire.ids import new_id

_STATUS = re.compile(r"[245]\d\d[ -]([245]\.\d{1,3}\.\d{1,3})\b")


def notify(recipient: Recipient, default: Sequence[str]) -> Sequence[str]:
    """What its sender wants to be told of it (RFC 3461 §4.1)."""
    for name, value in (recipient.parameters or {}).items():
        if name.upper() == "NOTIFY":
            return (value or "").upper().split(",")
    return default


def is_to_be_told(row: Queued, recipient: Recipient) -> bool:
    """Whether a recipient is done in a way that its sender must hear of, and has not yet."""
    if recipient.is_told:
        return False
    if recipient.state in ("failed", "unknown"):
        return "FAILURE" in notify(recipient, ("FAILURE",))
    # A mailbox here, or a host that cannot report, is the end of the way (RFC 3461 §5.2.2).
    is_end = recipient.state == "relayed" and not recipient.reports
    return is_end and "SUCCESS" in notify(recipient, ())


def notice_of(row: Queued, told: Sequence[Recipient], hostname: str, now: datetime) -> Notice:
    """The report about some recipients of a row."""
    parameters = {name.upper(): value for name, value in (row.sender.parameters or {}).items()}
    return Notice(
        hostname=hostname,
        to=row.sender.email,
        recipients=tuple(_reported(row, recipient, now) for recipient in told),
        message_id=f"{new_id('d')}@{hostname}",
        date=now,
        envelope_id=parameters.get("ENVID"),
        arrived_at=datetime.fromisoformat(row.created_at),
        retry_until=datetime.fromisoformat(row.expires.partition(" ")[2]),
        full=(parameters.get("RET") or "").upper() == "FULL",
    )


def _reported(row: Queued, recipient: Recipient, now: datetime) -> Reported:
    action: Action = "delayed" if recipient.state == "queued" else "failed"
    if recipient.state == "relayed":
        action = "delivered" if row.destination == LOCAL else "relayed"
    original = {name.upper(): value for name, value in (recipient.parameters or {}).items()}.get("ORCPT")
    return Reported(
        final_recipient=recipient.email,
        original_recipient=original,
        action=action,
        status=EXPIRED if _is_expired(row, recipient, now) else _status(action, recipient.reply),
        diagnostic=recipient.reply or None,
        remote_mta=recipient.host or None,
    )


def _is_expired(row: Queued, recipient: Recipient, now: datetime) -> bool:
    """Whether it failed because the time was over, and nobody has refused it."""
    is_over = row.expires <= place(row.destination, now)
    return recipient.state == "failed" and recipient.reply.startswith("4") and is_over


def _status(action: Action, reply: str) -> str:
    """The enhanced code of the reply if its class agrees with the action (RFC 3463 §2)."""
    digit = {"failed": "5", "delayed": "4"}.get(action, "2")
    found = _STATUS.match(reply)
    if found and found[1].startswith(digit):
        return found[1]
    return f"{digit}{found[1][1:]}" if found else f"{digit}.0.0"
