"""Whether an Email asks for an MDN, and whether it may be answered (RFC 8098 §2)."""

import re
from collections.abc import Sequence

from msgspec import Struct

from veredus.formats.mime import parameters
from veredus.formats.report import typed
from veredus.mail.identity import is_mailbox
from veredus.mail.mdn.shape import Wanted
from veredus.mail.submission.message import Fields
from veredus.wire.errors import SetError
from veredus.wire.types import JsonObject

ALREADY_SENT = "$mdnsent"
# An attribute whose importance is "required"; none is understood here.
_REQUIRED = re.compile(r"(?:^|;)[^=;]*=\s*required\s*(?:,|;|$)", re.IGNORECASE)


class Requested(Struct, frozen=True):
    """Where MDNs of an Email go, and the address that its sender wrote it to, with its type."""

    to: tuple[str, ...]
    original_recipient: str | None


def requested(email: JsonObject | None, wanted: Wanted, max_recipients: int) -> Requested:
    """Raises SetError notFound, mdnAlreadySent, forbidden (RFC 9007 §2.1)."""
    if email is None:
        raise SetError.not_found("There is no such Email.")
    if ALREADY_SENT in email["keywords"]:
        raise already_sent()
    fields = Fields(email["headers"])
    to = _unique(fields.addresses("disposition-notification-to"))
    if not to or not all(map(is_mailbox, to)):
        raise SetError.not_found("The Email has no valid Disposition-Notification-To field.")
    if len(to) > max_recipients:
        raise SetError.forbidden(f"The Email asks for notifications to more than {max_recipients} addresses.")
    if _is_mdn(email):
        raise SetError.forbidden("An MDN is not answered with an MDN (RFC 8098 §2.1).")
    if _REQUIRED.search(_value(email, "disposition-notification-options")):
        raise SetError.forbidden("Disposition-Notification-Options has a required parameter (RFC 8098 §2.2).")
    if wanted.disposition.sending_mode == "mdn-sent-automatically":
        _check_automatic(fields, to)
    original = _value(email, "original-recipient")
    return Requested(to, typed(original) if original else None)


def already_sent() -> SetError:
    return SetError("mdnAlreadySent", "The Email has the keyword $mdnsent.")


def _check_automatic(fields: Fields, to: Sequence[str]) -> None:
    """RFC 8098 §2.1: without a person's consent, only to the one address that sent the message."""
    sender = [address.lower() for address in fields.addresses("return-path")]
    if len(to) != 1 or sender != [to[0].lower()]:
        raise SetError.forbidden(
            "Disposition-Notification-To is not the one address of Return-Path: a person must consent."
        )


def _is_mdn(email: JsonObject) -> bool:
    type_, given = parameters.parse(_value(email, "content-type"))
    return type_ == "multipart/report" and given.get("report-type", "").lower() == "disposition-notification"


def _value(email: JsonObject, name: str) -> str:
    found = [field["value"] for field in email["headers"] if field["name"].lower() == name]
    return " ".join(found[-1].split()) if found else ""


def _unique(addresses: Sequence[str]) -> tuple[str, ...]:
    return tuple({address.lower(): address for address in addresses}.values())
