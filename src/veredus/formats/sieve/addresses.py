"""What an address looks like that mail may be sent to (RFC 5321 §4.1.2)."""

import re

_ATOM = r"[^\s\x00-\x20\x7f()<>\[\]:;@\\,\".]+"
_ADDRESS = re.compile(
    rf"""(?:{_ATOM}(?:\.{_ATOM})*|"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*")
    @(?:[\w](?:[\w-]*\w)?(?:\.\w(?:[\w-]*\w)?)*|\[[0-9A-Za-z:.]+\])""",
    re.VERBOSE,
)
_LONGEST = 320


def is_address(text: str) -> bool:
    """If ``text`` is one address and nothing else: no name, no brackets, no line break."""
    return len(text) <= _LONGEST and _ADDRESS.fullmatch(text) is not None


def normalized(address: str) -> str:
    """What equal addresses have in common: nobody tells upper from lower case in a local part."""
    return address.strip().lower()
