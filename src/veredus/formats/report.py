"""Reports that come in: delivery status (RFC 3464, RFC 6533) and MDN (RFC 8098) notifications, and bounces
that are neither.

Nothing here raises on bad mail. What is no report costs a look at the names of its header fields.
"""

import re
from typing import Final, cast, get_args

from veredus.formats import bounces
from veredus.formats.mime.addresses import as_addresses
from veredus.formats.mime.comments import strip_comments
from veredus.formats.mime.encoded_word import as_text
from veredus.formats.mime.header import Header, last_fields, split_header_block
from veredus.formats.mime.identifiers import as_message_ids
from veredus.formats.mime.message import Message, decode, decode_text, parse
from veredus.formats.mime.part import Part
from veredus.formats.report_values import (
    Action,
    Disposition,
    Mdn,
    Notice,
    Notification,
    Recipient,
    Report,
)
from veredus.formats.report_write import extension_problem, line_problem, typed, write_dsn, write_mdn

__all__ = [
    "Action",
    "Disposition",
    "Mdn",
    "Notice",
    "Notification",
    "Recipient",
    "Report",
    "extension_problem",
    "line_problem",
    "parse_report",
    "typed",
    "write_dsn",
    "write_mdn",
]

_STATUS_TYPES: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})
_MDN_TYPES: Final = frozenset({"message/disposition-notification", "message/global-disposition-notification"})
_RETURNED_TYPES: Final = frozenset(
    {"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"}
)
# A report says little; what is longer is cut.
_MAX_STATUS: Final = 256 * 1024
_MAX_RECIPIENTS: Final = 1_000
_MAX_TEXT: Final = 64 * 1024
_MAX_HEADER: Final = 64 * 1024

_BLOCK = re.compile(rb"\n[ \t]*\r?\n\s*")
_STATUS = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")
_TYPED = re.compile(r"\s*[A-Za-z0-9._-]+\s*;")
_ACTIONS: Final = frozenset(get_args(Action))
_BY_CLASS: Final[dict[str, Action]] = {"2": "delivered", "4": "delayed", "5": "failed"}
_CLASS_OF: Final[dict[Action, str]] = {"failed": "5.0.0", "delayed": "4.0.0"}


def parse_report(message: Message, *, null_sender: bool = False) -> Report | None:
    """What ``message`` reports; None: it is no report on delivery or disposition.

    ``null_sender``: it came with the null reverse-path, as all reports should (RFC 5321 §4.5.5); its
    Return-Path field says so too. A bounce without a machine-readable part is only believed with it, or
    if it is from a mailer-daemon by its name.
    """
    may_be_bounce = null_sender or bounces.may_be_bounce(message.headers)
    if message.root.type == "multipart/report" or (message.root.is_multipart and may_be_bounce):
        if report := _machine_readable(message):
            return report
        if any(part.type == "message/feedback-report" for part in message.root.walk()):
            return None  # a complaint of a reader (RFC 5965)
    return _bounce(message) if may_be_bounce else None


def _machine_readable(message: Message) -> Report | None:
    for part in message.root.walk():
        if part.type in _STATUS_TYPES and (report := _dsn(message, _content(part, _MAX_STATUS))):
            return report
        if part.type in _MDN_TYPES and message.root.type == "multipart/report" and (mdn := _mdn(part)):
            return _disposed(message, mdn)
    return None


def _dsn(message: Message, status: bytes) -> Report | None:
    recipients = _recipients(status)
    if not recipients:
        return None
    first = _fields(_BLOCK.split(status.strip(), maxsplit=1)[0])
    envelope_id = as_text(first.get("original-envelope-id", "")).strip()
    return Report(
        kind="dsn",
        envelope_id=envelope_id or None,
        reporting_mta=_untyped(first.get("reporting-mta", "")) or None,
        message_id=_message_id(_returned(message)),
        recipients=recipients,
        text=_text(message),
    )


def _disposed(message: Message, mdn: Mdn) -> Report:
    return Report(
        kind="mdn",
        message_id=mdn.original_message_id or _message_id(_returned(message)),
        text=_text(message),
        mdn=mdn,
    )


def _bounce(message: Message) -> Report | None:
    """A bounce of one of the many forms that have no machine-readable part."""
    for part in message.root.walk():
        if part.type == "message/rfc822" and (report := _wrapped(part)):
            return report
    found = bounces.find(message)
    if found is None:
        return None
    returned = _returned(message) or _fields(found.returned[:_MAX_HEADER])
    recipients = found.recipients
    if not recipients and len(to := as_addresses(returned.get("to", ""))) == 1:
        # Whom it is about is not said; there is but one that it can be about.
        recipients = (Recipient(final_recipient=to[0]["email"], action="failed", status="5.0.0"),)
    return Report(kind="dsn", message_id=_message_id(returned), recipients=recipients, text=_text(message))


def _wrapped(part: Part) -> Report | None:
    """A report that a gateway put into a message of its own."""
    content_type = _fields(_header(part)).get("content-type", "")
    if not content_type.strip().lower().startswith("multipart/report"):
        return None
    return _machine_readable(parse(_content(part, _MAX_STATUS)))


def _recipients(status: bytes) -> tuple[Recipient, ...]:
    """The recipients of a delivery status, each once; one that failed in any block has failed."""
    found: dict[str, Recipient] = {}
    for block in _BLOCK.split(status):
        recipient = _recipient(_fields(block))
        if recipient is None:
            continue
        key = recipient.final_recipient.lower()
        if key not in found or (recipient.action == "failed" and found[key].action != "failed"):
            found[key] = recipient
        if len(found) >= _MAX_RECIPIENTS:
            break
    return tuple(found.values())


def _recipient(fields: dict[str, str]) -> Recipient | None:
    original = _address(fields.get("original-recipient", ""))
    final = _address(fields.get("final-recipient", "")) or original
    if not final:
        return None
    diagnostic = _untyped(fields.get("diagnostic-code", ""))
    action, status = _outcome(fields, diagnostic)
    return Recipient(
        final_recipient=final,
        original_recipient=original or None,
        action=action,
        status=status,
        diagnostic=diagnostic or None,
        remote_mta=_untyped(strip_comments(fields.get("remote-mta", ""))) or None,
    )


def _outcome(fields: dict[str, str], diagnostic: str) -> tuple[Action, str]:
    """Action and status; either is told by the other if it is not there or not of RFC 3464."""
    stated = _STATUS.search(fields.get("status", ""))
    status = stated or _STATUS.search(diagnostic)
    words = strip_comments(fields.get("action", "")).lower().split()
    word = words[0].rstrip(";,.") if words else ""
    if word in _ACTIONS:
        action = cast("Action", word)
    else:
        action = _BY_CLASS[status.group()[0]] if status else "failed"
    return action, status.group() if status else _CLASS_OF.get(action, "2.0.0")


def _mdn(part: Part) -> Mdn | None:
    """The machine-readable part of an MDN; None where Disposition or Final-Recipient is missing (§3.1)."""
    headers, _ = split_header_block(_lf(_content(part, _MAX_STATUS)))
    fields = last_fields(headers)
    disposition = _disposition(fields.get("disposition", ""))
    final = _line(fields.get("final-recipient", "")) or _line(fields.get("original-recipient", ""))
    if disposition is None or not final:
        return None
    ids = as_message_ids(fields.get("original-message-id", ""))
    return Mdn(
        final_recipient=final,
        original_recipient=_line(fields.get("original-recipient", "")) or None,
        original_message_id=ids[0] if ids else None,
        disposition=disposition,
        reporting_ua=_line(fields.get("reporting-ua", "")) or None,
        gateway=_line(fields.get("mdn-gateway", "")) or None,
        errors=tuple(_line(value) for name, value in headers if name.lower() == "error"),
        extension_fields=_extensions(headers),
    )


def _extensions(headers: list[Header]) -> dict[str, str]:
    return {name: _line(value) for name, value in headers if extension_problem({name: ""}) is None}


def _disposition(value: str) -> Disposition | None:
    """The Disposition field (RFC 8098 §3.2.6); what it must have and has not is what most of them mean."""
    modes, _, rest = strip_comments(_line(value)).lower().partition(";")
    if not rest.strip():
        return None
    action_mode, _, sending_mode = ("".join(word.split()) for word in modes.partition("/"))
    type_, _, modifiers = rest.partition("/")
    return Disposition(
        action_mode=action_mode or "manual-action",
        sending_mode=sending_mode or "mdn-sent-manually",
        type="".join(type_.split()),
        modifiers=tuple(word.strip() for word in modifiers.split(",") if word.strip()),
    )


def _content(part: Part, limit: int) -> bytes:
    """The first ``limit`` octets of the part, decoded."""
    return decode(part.data[part.start : min(part.end, part.start + limit)], part.encoding)


def _fields(block: bytes) -> dict[str, str]:
    return last_fields(split_header_block(_lf(block))[0])


def _lf(block: bytes) -> bytes:
    # The block of a message with CR alone for a line end: see mime.message.
    return block if b"\n" in block else block.replace(b"\r", b"\n")


def _line(value: str) -> str:
    """``value`` unfolded, its white space collapsed, encoded words decoded."""
    return " ".join(as_text(value).split())


def _untyped(value: str) -> str:
    """``value`` without the type before it."""
    line = _line(value)
    if match := _TYPED.match(line):
        line = line[match.end() :]
    return line.strip()


def _address(value: str) -> str:
    """The address of a Final-Recipient or Original-Recipient field; "" if it has none."""
    line = _untyped(value)
    if bracketed := re.search(r"<([^<>]*)>", line):
        line = bracketed.group(1)
    return line.strip().strip("<>").removeprefix("mailto:").strip()


def _returned(message: Message) -> dict[str, str]:
    """The header fields of the message that the report has a copy of; empty if it has none."""
    for part in message.root.walk():
        if part.type in _RETURNED_TYPES and (fields := _fields(_header(part))):
            return fields
    return {}


def _header(part: Part) -> bytes:
    content = _lf(_content(part, _MAX_HEADER)).lstrip()
    end = re.search(rb"\n\r?\n", content)
    return content[: end.start() + 1] if end else content


def _message_id(fields: dict[str, str]) -> str | None:
    ids = as_message_ids(fields.get("message-id", ""))
    return ids[0] if ids else None


def _text(message: Message) -> str:
    """What the report says to a person: its first part of text."""
    for part in message.root.walk():
        if part.type in ("text/plain", "text/html") and part.disposition != "attachment":
            text, _ = decode_text(_content(part, _MAX_TEXT), part.charset, part.encoding)
            return bounces.lines_of_html(text).strip() if part.type == "text/html" else text
    return ""
