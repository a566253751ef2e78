"""Lists of IMAP flags (RFC 5232 §2)."""

from collections.abc import Callable, Iterable

from veredus.formats.sieve.signature import Arguments
from veredus.formats.sieve.state import Run


def flags_of(args: Arguments) -> Callable[[Run], tuple[str, ...]]:
    """The flags of a stored message: those of :flags, or else of the internal variable."""
    given = args.optional("flags")
    if given is None:
        return lambda run: run.flags
    return lambda run: flag_list(given.of(run))


def flag_list(strings: Iterable[str]) -> tuple[str, ...]:
    """The flags in ``strings``, which may hold several each; each once, whatever its case."""
    flags: dict[str, str] = {}
    for string in strings:
        for flag in string.split():
            flags.setdefault(flag.lower(), flag)
    return tuple(flags.values())
