"""editheader (RFC 5293): header fields added and deleted, for all that is done with the message later on."""

import re

from veredus.formats.mime.build_headers import field
from veredus.formats.mime.encoded_word import as_text
from veredus.formats.sieve.errors import RunError
from veredus.formats.sieve.fields import index_of
from veredus.formats.sieve.matching import MATCHING, Matcher, matcher
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec, Tag
from veredus.formats.sieve.state import Command, Run

_NAME = re.compile(r"[!-9;-~]{1,76}")
# §6: what shows a message's way, and keeps answers from answering each other, stays as it is.
_PROTECTED = frozenset({"received", "auto-submitted"})


def _check_constant(args: Arguments, at: int) -> None:
    constant = args.texts(at).constant
    if constant is not None and not _NAME.fullmatch(constant[0]):
        raise args.error(f'"{constant[0]}" is no name of a header field', at)


def _name(run: Run, args: Arguments) -> str:
    name = args.texts(0).one(run)
    if not _NAME.fullmatch(name):
        raise RunError(f"{args.name} with what is no name of a header field")
    return name


def _addheader(args: Arguments) -> Command:
    value, last = args.texts(1), args.has("last")
    _check_constant(args, 0)

    def addheader(run: Run) -> None:
        name, text = _name(run, args), " ".join(value.one(run).split())
        try:
            raw = field(name, "asText", text)
        except ValueError as error:
            raise RunError(f"addheader: the value {error}") from None
        run.added_headers += len(raw)
        if run.added_headers > run.limits.max_added_headers:
            raise RunError(f"addheader adds more than {run.limits.max_added_headers} octets")
        if name.lower() not in _PROTECTED:
            run.headers.add(name, raw, last=last)

    return addheader


def _deleteheader(args: Arguments) -> Command:
    pick = index_of(args)
    matches = None if args.positional[1] is None else matcher(args, 1, captures=False)
    _check_constant(args, 0)

    def deleteheader(run: Run) -> None:
        name = _name(run, args).lower()
        values = run.headers.raw(name)
        numbers = [
            number
            for number in range(len(values))[pick or slice(None)]
            if matches is None or _is_match(run, matches, values[number])
        ]
        if numbers and name not in _PROTECTED:
            run.headers.delete(name, numbers)

    return deleteheader


def _is_match(run: Run, matches: Matcher, value: str) -> bool:
    return matches(run, [as_text(value).strip()])


EDITHEADER = Extension(
    ("editheader",),
    commands=(
        Spec("addheader", _addheader, (Kind.STRING, Kind.STRING), tags=(Tag("last"),)),
        Spec(
            "deleteheader",
            _deleteheader,
            (Kind.STRING, Kind.STRINGS),
            tags=(Tag("index", Kind.NUMBER), Tag("last")),
            traits=(MATCHING,),
            optional="last",
        ),
    ),
)
