"""Writing reports: multipart/report (RFC 6522) of delivery status (RFC 3464, RFC 6533) and MDN (RFC 8098)."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from veredus.formats.mime.build_content import Entity, leaf, multipart
from veredus.formats.mime.build_headers import field, folded
from veredus.formats.mime.header import split_header_block
from veredus.formats.report_values import EXPIRED, Mdn, Notice, Notification, Recipient

MAX_RETURNED: Final = 256 * 1024
"""Octets of a message that are sent back with RET=FULL; of a larger one only the header (RFC 3461 §4.3)."""
_MAX_HEADER: Final = 64 * 1024
_MAX_VALUE: Final = 1_000
_MAX_WORD: Final = 900

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_WORD = re.compile(r"\S+")
_REPLY = re.compile(r"[2-5]\d\d\b")
_TYPED = re.compile(r"[A-Za-z0-9-]+;")
_MESSAGE_ID = re.compile(r"[!-;=?-~]{1,900}")
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_UNSEEN = re.compile(r"[\x00-\x20\x7f]+")

_MDN_FIELDS: Final = frozenset(
    "reporting-ua mdn-gateway original-recipient final-recipient original-message-id disposition "
    "error failure warning".split()
)
_SUBJECTS: Final = {
    "failed": "Your message could not be delivered",
    "delayed": "Your message is delayed",
    "delivered": "Your message was delivered",
    "relayed": "Your message was passed on",
    "expanded": "Your message was delivered",
}
_LEADS: Final = {
    "failed": "Your message could not be delivered to:",
    "delayed": "Your message could not be delivered yet to:",
    "delivered": "Your message was delivered to:",
    "relayed": "Your message was passed on to a host that will not confirm its delivery, for:",
    "expanded": "Your message was delivered to a list of other addresses, for:",
}


def write_dsn(notice: Notice, original: bytes) -> bytes:
    """The notification about ``original``; it is sent from the null sender (RFC 3464 §2).

    The whole message goes back only when it failed for somebody, ``notice.full`` is set and it has at most
    MAX_RETURNED octets. ValueError: ``notice`` has no recipients.
    """
    if not notice.recipients:
        raise ValueError("a delivery status notification must have a recipient")
    actions = [action for action in _LEADS if any(r.action == action for r in notice.recipients)]
    status = _status(notice)
    kind = "delivery-status" if status.isascii() else "global-delivery-status"
    whole = notice.full and "failed" in actions and len(original) <= MAX_RETURNED
    parts = [
        _text(_explanation(notice, actions, whole)),
        leaf(f"message/{kind}", {}, status.encode()),
        _returned(original, whole),
    ]
    body = multipart("multipart/report", parts, {"report-type": "delivery-status"}, notice.message_id)
    sender = {"name": "Mail Delivery System", "email": f"mailer-daemon@{notice.hostname}"}
    return _message(
        body,
        field("From", "asAddresses", [sender]),
        _to([notice.to]),
        field("Subject", "asText", _SUBJECTS[actions[0]]),
        *_common(notice.message_id, notice.date),
        # It answers a message, and no program may answer it (RFC 3834 §5).
        field("Auto-Submitted", "asRaw", " auto-replied"),
    )


def write_mdn(notification: Notification, original: bytes | None) -> bytes:
    """The notification, with ``original`` sent back whole if it is given (RFC 8098 §3)."""
    mdn = notification.mdn
    fields = _mdn_fields(mdn)
    kind = "disposition-notification" if fields.isascii() else "global-disposition-notification"
    parts = [_text(notification.text), leaf(f"message/{kind}", {}, fields.encode())]
    if original is not None:
        parts.append(_returned(original, whole=True))
    parameters = {"report-type": "disposition-notification"}
    body = multipart("multipart/report", parts, parameters, notification.message_id)
    id = mdn.original_message_id
    ids = [id] if id and _MESSAGE_ID.fullmatch(id) else []
    return _message(
        body,
        field("From", "asAddresses", [{"name": notification.sender_name, "email": notification.sender}]),
        _to(notification.to),
        field("Subject", "asText", notification.subject),
        *_common(notification.message_id, notification.date),
        *(field(name, "asMessageIds", ids) for name in ("In-Reply-To", "References")),
        field("Auto-Submitted", "asRaw", " auto-replied"),
    )


def _message(body: Entity, *fields: bytes) -> bytes:
    return b"".join(fields) + b"MIME-Version: 1.0\r\n" + body.octets()


def _common(message_id: str, date: datetime) -> tuple[bytes, bytes]:
    return field("Message-ID", "asMessageIds", [message_id]), field("Date", "asDate", _date_time(date))


def _to(addresses: Sequence[str]) -> bytes:
    return field("To", "asAddresses", [{"email": address} for address in addresses])


def _date_time(date: datetime) -> str:
    return date.isoformat(timespec="seconds")


def _text(text: str) -> Entity:
    """A part for people; its lines end in CRLF."""
    octets = re.sub(r"\r\n|\r|\n", "\r\n", text).encode("utf-8", "replace")
    return leaf("text/plain", {"charset": "us-ascii" if octets.isascii() else "utf-8"}, octets)


def _returned(original: bytes, whole: bool) -> Entity:
    """The third part: the message, or its header (RFC 6522 §3; RFC 6533 §4 where that is not ASCII)."""
    header = _header_of(original)
    # Only what needs it is "global": older readers know the others. What is no UTF-8 may not be called so.
    is_global = not header.isascii() and _is_utf_8(header)
    if whole:
        return leaf("message/global" if is_global else "message/rfc822", {}, original)
    return leaf("message/global-headers" if is_global else "text/rfc822-headers", {}, header)


def _is_utf_8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True


def _header_of(original: bytes) -> bytes:
    """The header block with CRLF line ends, whole fields, bounded."""
    end = _BLANK_LINE.search(original)
    block = original[: end.start()] if end else original
    if len(block) > _MAX_HEADER:
        block = block[:_MAX_HEADER]
        block = block[: max(block.rfind(b"\n"), 0)]
    _, size = split_header_block(block)
    block = block[:size] if size else b""
    return re.sub(rb"\r?\n", b"\r\n", block.rstrip(b"\r\n").replace(b"\0", b"")) + b"\r\n"


def _status(notice: Notice) -> str:
    """The fields of message/delivery-status: one block about the message, one for each recipient (§2.1)."""
    block = [_line("Reporting-MTA", f"dns; {notice.hostname}")]
    if notice.envelope_id:
        block.insert(0, _line("Original-Envelope-Id", notice.envelope_id))
    if notice.arrived_at:
        block.append(field("Arrival-Date", "asDate", _date_time(notice.arrived_at)).decode())
    blocks = ["".join(block)]
    blocks += ["".join(_recipient(notice, recipient)) for recipient in notice.recipients]
    return "\r\n".join(blocks)


def _recipient(notice: Notice, recipient: Recipient) -> list[str]:
    lines = []
    if recipient.original_recipient:
        lines.append(_line("Original-Recipient", typed(recipient.original_recipient)))
    lines += [
        _line("Final-Recipient", typed(recipient.final_recipient)),
        _line("Action", recipient.action),
        _line("Status", recipient.status),
    ]
    if recipient.remote_mta:
        lines.append(_line("Remote-MTA", f"dns; {recipient.remote_mta}"))
    if recipient.diagnostic:
        kind = "smtp" if _REPLY.match(recipient.diagnostic) else "x-local"
        lines.append(_line("Diagnostic-Code", f"{kind}; {_ascii(recipient.diagnostic)}"))
    if recipient.action == "delayed" and notice.retry_until:
        lines.append(field("Will-Retry-Until", "asDate", _date_time(notice.retry_until)).decode())
    return lines


def _mdn_fields(mdn: Mdn) -> str:
    """The fields of message/disposition-notification (RFC 8098 §3.1), in its order."""
    modes = f"{mdn.disposition.action_mode}/{mdn.disposition.sending_mode}"
    modifiers = ",".join(mdn.disposition.modifiers)
    message_id = mdn.original_message_id and f"<{mdn.original_message_id}>"
    values: list[tuple[str, str | None]] = [
        ("Reporting-UA", mdn.reporting_ua),
        ("MDN-Gateway", mdn.gateway),
        ("Original-Recipient", mdn.original_recipient and typed(mdn.original_recipient)),
        ("Final-Recipient", typed(mdn.final_recipient)),
        ("Original-Message-ID", message_id),
        ("Disposition", f"{modes}; {mdn.disposition.type}{'/' if modifiers else ''}{modifiers}"),
        *(("Error", error) for error in mdn.errors),
        *mdn.extension_fields.items(),
    ]
    return "".join(_line(name, value) for name, value in values if value)


def typed(address: str) -> str:
    """``address`` with its type before it (RFC 3464 §2.3.1, RFC 6533 §3): "rfc822; joe@example.com"."""
    if match := _TYPED.match(address):
        return f"{match.group()} {address[match.end() :].strip()}"
    return f"{'rfc822' if address.isascii() else 'utf-8'}; {address}"


def _line(name: str, value: str) -> str:
    """A field of which no value can make two, folded, at most _MAX_VALUE characters."""
    words = _WORD.findall(_UNSEEN.sub(" ", value)[:_MAX_VALUE])
    # A word longer than a line may be is cut: nothing that a reader needs is so long.
    return folded(name, [f" {word[:_MAX_WORD]}" for word in words] or [" "]).decode()


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def _explanation(notice: Notice, actions: Sequence[str], whole: bool) -> str:
    """The part for people (RFC 3464 §2): who did not get it, what was said, and what comes next."""
    lines = [f"This is the mail system at {notice.hostname}.", ""]
    for action in actions:
        lines += [_LEADS[action], ""]
        for recipient in notice.recipients:
            if recipient.action == action:
                lines += _of_recipient(recipient, notice.arrived_at)
        lines += ["", *_what_next(action, notice.retry_until)]
    if "failed" in actions:
        lines.append("Your message is attached." if whole else "The header of your message is attached.")
    return "\r\n".join(lines).rstrip("\r\n") + "\r\n"


def _of_recipient(recipient: Recipient, arrived_at: datetime | None) -> list[str]:
    lines = [f"  <{_seen(recipient.final_recipient)}>"]
    if recipient.status == EXPIRED:
        since = f" since {arrived_at:%Y-%m-%d %H:%M} UTC" if arrived_at else ""
        lines.append(f"    It has waited{since}, and will not be tried again. The last answer was:")
    if recipient.diagnostic:
        said = f"{_seen(recipient.remote_mta)} said: " if recipient.remote_mta else ""
        lines.append(f"    {said}{_seen(recipient.diagnostic)}")
    return lines


def _what_next(action: str, retry_until: datetime | None) -> list[str]:
    if action != "delayed":
        return []
    until = f" until {retry_until:%Y-%m-%d %H:%M} UTC" if retry_until else ""
    return [f"It will be tried again{until}. You need not send it again.", ""]


def _seen(text: str) -> str:
    return _UNSEEN.sub(" ", text)[:_MAX_VALUE]


def extension_problem(fields: Mapping[str, str]) -> str | None:
    """What keeps ``fields`` from being extension fields of an MDN (RFC 8098 §3.3); None: nothing."""
    for name, value in fields.items():
        if not _FIELD_NAME.fullmatch(name):
            return f"{name[:100]!r} is not the name of a header field"
        if name.lower() in _MDN_FIELDS:
            return f"{name} has a property of its own"
        if problem := line_problem(value):
            return f"{name} {problem}"
    return None


def line_problem(value: str) -> str | None:
    """What keeps ``value`` from being that of a field in a report; None: nothing."""
    if _CONTROL.search(value) or len(value) > _MAX_VALUE:
        return f"must be one line of at most {_MAX_VALUE} characters"
    if any(len(word) > _MAX_WORD for word in value.split()):
        return f"must not have a word of more than {_MAX_WORD} characters"
    return None
