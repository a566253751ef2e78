"""Parameters of an envelope's addresses (RFC 8621 §7): DSN (RFC 3461), FUTURERELEASE (RFC 4865) and a few."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from veredus.formats.smtp_parameters import dsn_of_mail, dsn_of_rcpt, hold
from veredus.formats.smtp_syntax import Refusal, body_parameter, size_parameter, utf8_parameter
from veredus.formats.smtp_values import Release
from veredus.wire.errors import SetError

Parameters = dict[str, str | None]
# What xtext writes as a hexadecimal number (RFC 3461 §4).
_ENCODED = re.compile(rb"[^!-*,-<>-~]")


class SenderParameters(Struct, frozen=True):
    """``passed``: those that go with the message. ``release``: not before then (None: at once). ``size``: as
    the client declared it, in octets."""

    passed: Parameters
    release: datetime | None
    size: int | None


def of_sender(given: Mapping[str, str | None] | None, now: datetime, max_delay_s: int) -> SenderParameters:
    """Those of mailFrom. Raises SetError. ``max_delay_s``: 0: nothing is held."""
    left = _named(given)
    try:
        held = hold(left, Release(max_delay_s, lambda: now) if max_delay_s else None)
        size = size_parameter(left)
        if body_parameter(left) == "BINARYMIME":
            raise _bad("BODY is 7BIT or 8BITMIME.")
        utf8_parameter(left)
        passed = dsn_of_mail(left)
    except Refusal as refusal:
        raise _bad(refusal.reply.text) from None
    _refuse(left)
    return SenderParameters(passed, _release(held, now), size)


def of_recipient(given: Mapping[str, str | None] | None) -> Parameters:
    """Those of one of rcptTo. Raises SetError."""
    left = _named(given)
    try:
        passed = dsn_of_rcpt(left)
    except Refusal as refusal:
        raise _bad(refusal.reply.text) from None
    _refuse(left)
    return passed


def _named(given: Mapping[str, str | None] | None) -> Parameters:
    """By upper-case name, as a client of SMTP would send them: xtext where there is some."""
    named: Parameters = {}
    for name, value in (given or {}).items():
        key = name.upper()
        if key in named:
            raise _bad(f"The parameter {key[:40]} is given twice.")
        if key == "ENVID" and value is not None:
            value = _xtext(value)
        elif key == "ORCPT" and value is not None:
            type, semicolon, address = value.partition(";")
            value = f"{type}{semicolon}{_xtext(address)}"
        named[key] = value
    return named


def _xtext(value: str) -> str:
    return _ENCODED.sub(lambda octet: b"+%02X" % octet[0][0], value.encode()).decode()


def _release(held: Parameters, now: datetime) -> datetime | None:
    """In whole seconds, rounded up; None: not in the future."""
    if value := held.get("HOLDFOR"):
        moment = now + timedelta(seconds=int(value))
    elif value := held.get("HOLDUNTIL"):
        moment = datetime.fromisoformat(value).astimezone(UTC)
    else:
        return None
    if moment.microsecond:
        moment = moment.replace(microsecond=0) + timedelta(seconds=1)
    return moment if moment > now else None


def _refuse(left: Parameters) -> None:
    if left:
        raise _bad(f"The parameter {next(iter(left))[:40]} is not supported here.")


def _bad(description: str) -> SetError:
    return SetError.invalid_properties(["envelope"], description)
