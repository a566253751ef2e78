"""Addresses that a script gives (RFC 5228 §2.4.2.3)."""

import re

from veredus.formats.mime.addresses import as_addresses

_ATOM = r"[^\s\x00-\x20\x7f()<>\[\]:;@\\,\".]+"
_ADDRESS = re.compile(
    rf"""(?:{_ATOM}(?:\.{_ATOM})*|"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*")
    @(?:[\w](?:[\w-]*\w)?(?:\.\w(?:[\w-]*\w)?)*|\[[0-9A-Za-z:.]+\])""",
    re.VERBOSE,
)
_LONGEST = 320


def is_address(text: str) -> bool:
    """If mail may be sent to ``text`` as it is (RFC 5321 §4.1.2): no name, no brackets, no comment."""
    return len(text) <= _LONGEST and _ADDRESS.fullmatch(text) is not None


def address_in(text: str) -> str | None:
    """The address in ``text``, which may have a name and comments around it; None if it is not just one."""
    if is_address(text):
        return text
    if len(text) > 2 * _LONGEST or "\n" in text or "\r" in text:
        return None
    found = as_addresses(text)
    return found[0]["email"] if len(found) == 1 and is_address(found[0]["email"]) else None


def addresses_in(value: str) -> list[str]:
    """The addresses in the raw value of a field; what is none as it stands there (RFC 5228 §2.7.4)."""
    if not value.strip():
        return [""]
    return [found["email"] or found["name"] or "" for found in as_addresses(value)]


def normalized(address: str) -> str:
    """What equal addresses have in common: nobody tells upper from lower case in a local part."""
    return address.strip().lower()
