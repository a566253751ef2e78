"""Parameters that only submission takes: DSN (RFC 3461), FUTURERELEASE (RFC 4865), AUTH (RFC 4954).

Each function takes its parameters out of the dict it is given, and raises Refusal.
"""

import re
from datetime import UTC, datetime

from veredus.formats.smtp_syntax import Refusal
from veredus.formats.smtp_values import Release

# RFC 3461 §4: printable ASCII without "+" and "=", and "+" with two upper-case hexadecimal digits.
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_ESCAPE = re.compile(rb"\+([0-9A-F]{2})")
# RFC 3461 §4.4, §4.2: so many characters of ENVID and ORCPT, as they are sent.
_ENVID, _ORCPT = 100, 500
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9-]+")
# RFC 4865 §4: at most nine digits, without leading zeros.
_HOLD_FOR = re.compile(r"[1-9][0-9]{0,8}")
# RFC 3339 §5.6.
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)")


def dsn_of_mail(parameters: dict[str, str | None]) -> dict[str, str | None]:
    """RET and ENVID (RFC 3461 §4.3, §4.4), decoded."""
    found: dict[str, str | None] = {}
    if "RET" in parameters:
        found["RET"] = ret = (parameters.pop("RET") or "").upper()
        if ret not in ("FULL", "HDRS"):
            raise Refusal(501, "5.5.4", "RET is FULL or HDRS")
    if "ENVID" in parameters:
        envid = parameters.pop("ENVID")
        if not envid or len(envid) > _ENVID:
            raise Refusal(501, "5.5.4", f"ENVID is xtext of at most {_ENVID} characters")
        found["ENVID"] = _xtext("ENVID", envid)
    return found


def dsn_of_rcpt(parameters: dict[str, str | None]) -> dict[str, str | None]:
    """NOTIFY and ORCPT (RFC 3461 §4.1, §4.2), decoded."""
    found: dict[str, str | None] = {}
    if "NOTIFY" in parameters:
        words = (parameters.pop("NOTIFY") or "").upper().split(",")
        good = words == ["NEVER"] or (
            set(words) <= {"SUCCESS", "FAILURE", "DELAY"} and len(set(words)) == len(words)
        )
        if not good:
            raise Refusal(501, "5.5.4", "NOTIFY is NEVER, or some of SUCCESS, FAILURE and DELAY")
        found["NOTIFY"] = ",".join(words)
    if "ORCPT" in parameters:
        value = parameters.pop("ORCPT") or ""
        type, semicolon, address = value.partition(";")
        if not semicolon or not address or not _ADDRESS_TYPE.fullmatch(type) or len(value) > _ORCPT:
            raise Refusal(501, "5.5.4", "ORCPT is an address type, a semicolon and an address as xtext")
        found["ORCPT"] = f"{type};{_xtext('ORCPT', address)}"
    return found


def _xtext(name: str, value: str) -> str:
    """RFC 6533 §3 lets addresses beyond ASCII come as UTF-8 octets in xtext."""
    if _XTEXT.fullmatch(value):
        octets = _ESCAPE.sub(lambda hex: bytes([int(hex[1], 16)]), value.encode())
        try:
            text = octets.decode()
        except UnicodeDecodeError:
            text = "\0"
        if text.isprintable():
            return text
    raise Refusal(501, "5.5.4", f"{name} is not xtext of printable characters")


def trusted_sender(parameters: dict[str, str | None]) -> None:
    """Read over AUTH, which tells who submitted a message elsewhere (RFC 4954 §5): here users speak for
    themselves."""
    if "AUTH" in parameters:
        value = parameters.pop("AUTH")
        if value != "<>":
            _xtext("AUTH", value or "\0")


def hold(parameters: dict[str, str | None], release: Release | None) -> dict[str, str | None]:
    """HOLDFOR or HOLDUNTIL (RFC 4865 §4). Without ``release`` they stay, and so are refused as unknown."""
    named = [name for name in ("HOLDFOR", "HOLDUNTIL") if name in parameters]
    if not named or release is None:
        return {}
    if len(named) > 1:
        raise Refusal(501, "5.5.4", "Either HOLDFOR or HOLDUNTIL")
    value = parameters.pop(named[0]) or ""
    if named == ["HOLDFOR"]:
        if not _HOLD_FOR.fullmatch(value):
            raise Refusal(501, "5.5.4", "HOLDFOR is a number of seconds")
        seconds = float(value)
    else:
        seconds = (_moment(value) - release.now()).total_seconds()
    if seconds > release.max_s:
        raise Refusal(501, "5.5.4", f"Messages are held for {release.max_s} seconds at most")
    return {named[0]: value.upper()}


def _moment(value: str) -> datetime:
    if _DATE_TIME.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass  # the 30th of February
    raise Refusal(501, "5.5.4", "HOLDUNTIL is a date and time such as 2026-12-24T18:00:00Z")
