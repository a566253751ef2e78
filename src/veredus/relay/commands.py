"""MAIL and RCPT of a parcel, with what a host understands (RFC 5321 §4.1.1, 1870, 3461, 6152, 6531)."""

import re
from collections.abc import Mapping

import idna

from veredus.ports import Address, Fate, Parcel
from veredus.relay.session import Session

# No control octets: an address ends a command, and could begin another.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PLAIN = re.compile(r"[A-Za-z,]+")
_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")
_LONE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")


class Refused(Exception):
    """We ourselves refuse, before the host is asked; ``reply`` is a line in the form of a reply."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.fate = Fate("failed", reply)


def normal(data: bytes) -> bytes:
    """The text with CRLF only: a lone CR or LF could end it before its end ("SMTP smuggling")."""
    if not data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r"):
        data = _LONE_LINE_END.sub(b"\r\n", data)
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def stuffed(data: bytes) -> bytes:
    """The text as DATA sends it, with its end (RFC 5321 §4.5.2)."""
    text = data.replace(b"\r\n.", b"\r\n..")
    return (b"." if text.startswith(b".") else b"") + text + b".\r\n"


def needs_utf8(parcel: Parcel) -> bool:
    """Whether sender or header need SMTPUTF8; recipients are looked at one by one (RFC 6531 §3.4).

    A header with octets that are no UTF-8 needs nothing that SMTPUTF8 could give.
    """
    if needs_utf8_path(parcel.sender.email):
        return True
    header = parcel.data[: parcel.data.find(b"\r\n\r\n")]
    if header.isascii():
        return False
    try:
        header.decode()
    except UnicodeDecodeError:
        return False
    return True


def mail(parcel: Parcel, session: Session, *, is_utf8: bool) -> str:
    """Raises Refused: no recipient of this parcel can be sent to through this host."""
    limit = session.size_limit
    if limit and len(parcel.data) > limit:
        raise Refused(f"552 5.3.4 The message has {len(parcel.data)} octets, the host takes {limit}")
    if is_utf8 and not session.offers("SMTPUTF8"):
        raise Refused("550 5.6.7 The host does not take addresses or header fields in UTF-8")
    words = [f"MAIL FROM:<{path(parcel.sender.email)}>"]
    if session.offers("SIZE"):
        words.append(f"SIZE={len(parcel.data)}")
    if session.offers("8BITMIME") and not parcel.data.isascii():
        words.append("BODY=8BITMIME")
    if is_utf8:
        words.append("SMTPUTF8")
    if session.offers("DSN"):
        words += _parameters(parcel.sender.parameters, plain="RET", xtext="ENVID")
    return " ".join(words)


def rcpt(recipient: Address, session: Session, *, is_utf8: bool) -> str:
    """Raises Refused: the host cannot know this address."""
    address = path(recipient.email)
    if not address.isascii() and not is_utf8:
        raise Refused("550 5.6.7 The host does not take addresses in UTF-8")
    words = [f"RCPT TO:<{address}>"]
    if session.offers("DSN"):
        words += _parameters(recipient.parameters, plain="NOTIFY", xtext="ORCPT")
    return " ".join(words)


def path(address: str) -> str:
    """The address with its domain in ASCII: most of those beyond it need no SMTPUTF8 then. Raises Refused."""
    if _CONTROL.search(address):
        raise Refused("553 5.1.3 The address has a control character in it")
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{ascii_domain(domain)}"


def ascii_domain(domain: str) -> str:
    """A domain in A-labels (RFC 5891; the codec of Python makes "fass.de" of "faß.de").

    Raises Refused.
    """
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        raise Refused("553 5.1.2 There can be no domain of this name") from None


def needs_utf8_path(address: str) -> bool:
    """Domains have a form in ASCII, local parts have none."""
    return not address.rpartition("@")[0].isascii()


def _parameters(parameters: Mapping[str, str | None] | None, *, plain: str, xtext: str) -> list[str]:
    """Those of RFC 3461 that are there; whatever else an address has is meant for us (FUTURERELEASE, BY)."""
    words = []
    for name, value in (parameters or {}).items():
        keyword = name.upper()
        if value and keyword == plain and _PLAIN.fullmatch(value):
            words.append(f"{keyword}={value}")
        elif value and keyword == xtext:
            words.append(f"{keyword}={_xtext(value)}")
    return words


def _xtext(value: str) -> str:
    """RFC 3461 §4; beyond ASCII as in a utf-8-addr-xtext (RFC 6533 §3)."""
    return _NOT_XTEXT.sub(
        lambda found: f"+{ord(found[0]):02X}" if found[0].isascii() else f"\\x{{{ord(found[0]):X}}}", value
    )
