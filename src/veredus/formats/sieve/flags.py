"""Lists of IMAP flags (RFC 5232 §2)."""

import re
from collections.abc import Callable, Iterable

from veredus.formats.sieve.errors import RunError
from veredus.formats.sieve.signature import Arguments
from veredus.formats.sieve.state import Run

# What a keyword may be (RFC 8621 §4.1.1), or a flag of IMAP's own; others are ignored (RFC 5232 §2).
_FLAG = re.compile(
    r"\\(?:answered|flagged|deleted|seen|draft)|[!#$&'+-\[^-z|}~]{1,255}", re.IGNORECASE | re.ASCII
)
_MOST = 256


def flags_of(args: Arguments) -> Callable[[Run], tuple[str, ...]]:
    """The flags of a stored message: those of :flags, or else of the internal variable."""
    given = args.optional("flags")
    if given is None:
        return lambda run: storable(run.flags)
    return lambda run: storable(flag_list(given.of(run)))


def storable(flags: tuple[str, ...]) -> tuple[str, ...]:
    """Those that a message can have."""
    return tuple(flag for flag in flags if _FLAG.fullmatch(flag)) if flags else flags


def flag_list(strings: Iterable[str]) -> tuple[str, ...]:
    """The flags in ``strings``, which may hold several each; each once, whatever its case."""
    flags: dict[str, str] = {}
    for string in strings:
        for flag in string.split():
            flags.setdefault(flag.lower(), flag)
    if len(flags) > _MOST:
        raise RunError(f"more than {_MOST} flags")
    return tuple(flags.values())
