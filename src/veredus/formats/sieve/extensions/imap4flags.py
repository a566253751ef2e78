"""imap4flags (RFC 5232): the flags that a stored message gets."""

from collections.abc import Callable

from veredus.formats.sieve.extensions.variables import variable_name
from veredus.formats.sieve.flags import flag_list
from veredus.formats.sieve.matching import MATCHING, matcher
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec, Tag
from veredus.formats.sieve.state import Command, Run, Test
from veredus.formats.sieve.texts import Texts

Flags = tuple[str, ...]


def _changing(change: Callable[[Flags, Flags], Flags]) -> Callable[[Arguments], Command]:
    """A command that makes the new flags of the ones there were and those given."""

    def build(args: Arguments) -> Command:
        given = args.texts(1)
        if args.positional[0] is None:

            def change_internal(run: Run) -> None:
                run.flags = change(run.flags, flag_list(given.of(run)))

            return change_internal
        _check_variables(args)
        name = variable_name(args, 0)

        def change_variable(run: Run) -> None:
            flags = change(flag_list([run.variable(name)]), flag_list(given.of(run)))
            run.set_variable(name, " ".join(flags))

        return change_variable

    return build


def _check_variables(args: Arguments) -> None:
    args.compiler.check_capability("variables", f"{args.name} with the name of a variable", args.offset)


def _replaced(old: Flags, given: Flags) -> Flags:
    return given


def _added(old: Flags, given: Flags) -> Flags:
    return flag_list([*old, *given])


def _removed(old: Flags, given: Flags) -> Flags:
    gone = {flag.lower() for flag in given}
    return tuple(flag for flag in old if flag.lower() not in gone)


def _hasflag(args: Arguments) -> Test:
    """§4: each flag on its own is compared, so that :count counts flags."""
    names, matches = args.optional(0), matcher(args, 1)
    if names is None:
        return lambda run: matches(run, run.flags)
    _check_variables(args)
    return _hasflag_in(names, matches)


def _hasflag_in(names: Texts, matches: Callable[[Run, Flags], bool]) -> Test:
    def hasflag(run: Run) -> bool:
        return matches(run, flag_list(run.variable(name.lower()) for name in names.of(run)))

    return hasflag


_FLAGS = (Tag("flags", Kind.STRINGS),)
_TAKES = (Kind.STRING, Kind.STRINGS)

IMAP4FLAGS = Extension(
    ("imap4flags",),
    commands=(
        Spec("setflag", _changing(_replaced), _TAKES, optional="first"),
        Spec("addflag", _changing(_added), _TAKES, optional="first"),
        Spec("removeflag", _changing(_removed), _TAKES, optional="first"),
    ),
    tests=(Spec("hasflag", _hasflag, (Kind.STRINGS, Kind.STRINGS), traits=(MATCHING,), optional="first"),),
    tags={"keep": _FLAGS, "fileinto": _FLAGS},
)
