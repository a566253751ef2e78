"""duplicate (RFC 7352): whether a message like this one came before."""

import hashlib

from veredus.formats.sieve.outcome import Duplicate
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec, Tag
from veredus.formats.sieve.state import Run, Test

_DEFAULT = 7 * 86_400
_LONGEST = 90 * 86_400


def _duplicate(args: Arguments) -> Test:
    handle, header, uniqueid = args.optional("handle"), args.optional("header"), args.optional("uniqueid")
    last = args.has("last")
    given = args.number("seconds")
    seconds = min(_DEFAULT if given is None else given, _LONGEST)

    def duplicate(run: Run) -> bool:
        if uniqueid is not None:
            unique = uniqueid.one(run)
        else:
            # §3.1: the raw value, of the first such field.
            values = run.headers.raw(header.one(run).lower() if header else "message-id")
            unique = values[0].strip() if values else ""
        if not unique:
            return False
        kind = "uniqueid" if uniqueid else "header"
        key = _digest(handle.one(run) if handle else "", kind, unique)
        is_known = run.environment.is_duplicate(key)
        if last or not is_known:
            run.duplicates[key] = Duplicate(key, seconds, last)
        return is_known

    return duplicate


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


DUPLICATE = Extension(
    ("duplicate",),
    tests=(
        Spec(
            "duplicate",
            _duplicate,
            tags=(
                Tag("handle", Kind.STRING),
                Tag("header", Kind.STRING, "unique"),
                Tag("uniqueid", Kind.STRING, "unique"),
                Tag("seconds", Kind.NUMBER),
                Tag("last"),
            ),
        ),
    ),
)
