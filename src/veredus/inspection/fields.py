"""The header section of what arrives: what is taken out, and what is read of it."""

import re
from collections.abc import Callable

from veredus.formats.authentication_results import authserv_id
from veredus.formats.mime.addresses import as_addresses
from veredus.formats.mime.fields import header_block
from veredus.formats.mime.header import split_header_block

# A field with its folded lines, and the white space before the colon that old senders write.
_FIELD = re.compile(rb"^([!-9;-~]+)[ \t]*:([^\n]*(?:\n|\Z)(?:[ \t][^\n]*(?:\n|\Z))*)", re.MULTILINE)
_RESULTS = b"authentication-results"
_SPAM = (b"x-spam", b"x-rspamd")


def hops(block: bytes) -> int:
    """How many hosts the message came through (RFC 5321 §6.3)."""
    return len(re.findall(rb"^received[ \t]*:", block, re.MULTILINE | re.IGNORECASE))


def without_claims(message: bytes, authserv: str, *, spam: bool) -> bytes:
    """The message without what only we may say of it.

    That is Authentication-Results fields with our authserv-id (RFC 8601 §5); with ``spam``, whatever a spam
    filter would write, too. Everything else is as it was, octet by octet.
    """

    def is_claim(name: bytes, value: bytes) -> bool:
        if name == _RESULTS:
            return authserv_id(value) == authserv.lower()
        return spam and name.startswith(_SPAM)

    block = header_block(message)
    lowered = block.lower()
    names = (_RESULTS, *_SPAM) if spam else (_RESULTS,)
    if not any(name in lowered for name in names):
        return message
    return _without(block, is_claim) + message[len(block) :]


def _without(block: bytes, is_claim: Callable[[bytes, bytes], bool]) -> bytes:
    return _FIELD.sub(lambda field: b"" if is_claim(field[1].lower(), field[2]) else field[0], block)


def authors(message: bytes) -> list[str]:
    """The domains of all addresses in all From fields, in lower case and A-labels, each once.

    Read as the Email is that the user will see.
    """
    fields, _ = split_header_block(header_block(message))
    addresses = (
        address["email"]
        for name, value in fields
        if name.lower() == "from"
        for address in as_addresses(value)
    )
    return list(dict.fromkeys(domain for address in addresses if (domain := domain_of(address))))


def domain_of(address: str) -> str:
    """The domain of an address, in lower case and A-labels; empty when it has none."""
    domain = address.rpartition("@")[2].strip().removesuffix(".").lower() if "@" in address else ""
    if domain.isascii():
        return domain
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return ""
