"""variables (RFC 5229): set, string, and the modifiers that other extensions add to set."""

import re
from collections.abc import Callable

from veredus.formats.sieve.matching import MATCHING, matcher
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec, Tag
from veredus.formats.sieve.state import Command, Run, Test

# The trait of commands that set a variable.
MODIFIERS = "modifiers"

_NAME = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII)
_WILDCARD = re.compile(r"[*?\\]")
_SPECIAL = re.compile(r"[\\^$.\[\]|()?*+{}]")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def variable_name(args: Arguments, at: int) -> str:
    """The lower-case name in a constant argument; ``global.x`` is one where there is include."""
    name = args.constant(at, "the name of a variable")
    if "include" in args.compiler.required:
        prefix, _, local = name.rpartition(".")
        if prefix.lower() == "global":
            return f"global.{checked_name(args, local, at)}"
    return checked_name(args, name, at)


def checked_name(args: Arguments, name: str, at: int) -> str:
    """``name`` in lower case; SieveError if no variable may be called so."""
    if not _NAME.fullmatch(name.lower()):
        raise args.error(f'"{name}" is no name of a variable', at)
    return name.lower()


def _lowerfirst(value: str) -> str:
    return value[:1].lower() + value[1:]


def _upperfirst(value: str) -> str:
    return value[:1].upper() + value[1:]


def _quotewildcard(value: str) -> str:
    return _WILDCARD.sub(r"\\\g<0>", value)


def _quoteregex(value: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", value)


def _encodeurl(value: str) -> str:
    """RFC 5435 §6."""
    octets = value.encode("utf-8", "replace")
    return "".join(chr(octet) if octet in _UNRESERVED else f"%{octet:02X}" for octet in octets)


def _length(value: str) -> str:
    return str(len(value))


# By their precedence: those that come first are applied first, of one group only one (RFC 5229 §4.1).
_MODIFIERS: tuple[tuple[str, str, Callable[[str], str]], ...] = (
    ("lower", "case", str.lower),
    ("upper", "case", str.upper),
    ("lowerfirst", "first", _lowerfirst),
    ("upperfirst", "first", _upperfirst),
    ("quotewildcard", "quote", _quotewildcard),
    ("quoteregex", "quote", _quoteregex),
    ("encodeurl", "encode", _encodeurl),
    ("length", "length", _length),
)


def _modifiers(*names: str) -> tuple[Tag, ...]:
    return tuple(Tag(name, group=group) for name, group, _ in _MODIFIERS if name in names)


def modify(args: Arguments) -> Callable[[str], str]:
    """All modifiers that were given, as one function."""
    chosen = [function for name, _, function in _MODIFIERS if args.has(name)]

    def modified(value: str) -> str:
        for function in chosen:
            value = function(value)
        return value

    return modified


def _set(args: Arguments) -> Command:
    name, value, modified = variable_name(args, 0), args.texts(1), modify(args)

    def set_(run: Run) -> None:
        run.set_variable(name, modified(value.one(run)))

    return set_


def _string(args: Arguments) -> Test:
    source, matches = args.texts(0), matcher(args, 1)
    is_count = args.has("count")

    def string(run: Run) -> bool:
        values = source.of(run)
        # §5: of strings that are not empty.
        return matches(run, [value for value in values if value] if is_count else values)

    return string


VARIABLES = Extension(
    ("variables",),
    commands=(
        Spec(
            "set",
            _set,
            (Kind.STRING, Kind.STRING),
            traits=(MODIFIERS,),
        ),
    ),
    tests=(Spec("string", _string, (Kind.STRINGS, Kind.STRINGS), traits=(MATCHING,)),),
    tags={MODIFIERS: _modifiers("lower", "upper", "lowerfirst", "upperfirst", "quotewildcard", "length")},
)
REGEX_MODIFIER = _modifiers("quoteregex")
URL_MODIFIER = _modifiers("encodeurl")
