"""environment (RFC 5183) and ihave (RFC 5463): what runs the script, and what it can do."""

from veredus.formats.sieve.errors import RunError
from veredus.formats.sieve.matching import MATCHING, matcher
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec
from veredus.formats.sieve.state import Command, Run, Test


def _environment(args: Arguments) -> Test:
    """RFC 5183 §4: no item of this name, no match."""
    name, matches = args.texts(0), matcher(args, 1)

    def environment(run: Run) -> bool:
        value = run.environment.items.get(name.one(run).lower())
        return value is not None and matches(run, [value])

    return environment


def _ihave(args: Arguments) -> Test:
    """RFC 5463 §4: from here on, what is there needs no require."""
    names = args.texts(0).constant
    if names is None:
        raise args.error("the names of extensions must be constant strings", 0)
    known = args.compiler.capabilities
    has_all = all(name in known for name in names)
    if has_all:
        args.compiler.required.update(names)
    return lambda run: has_all


def _error(args: Arguments) -> Command:
    """RFC 5463 §5."""
    text = args.texts(0)

    def error(run: Run) -> None:
        raise RunError(text.one(run))

    return error


ENVIRONMENT = Extension(
    ("environment",),
    tests=(Spec("environment", _environment, (Kind.STRING, Kind.STRINGS), traits=(MATCHING,)),),
)
IHAVE = Extension(
    ("ihave",),
    commands=(Spec("error", _error, (Kind.STRING,)),),
    tests=(Spec("ihave", _ihave, (Kind.STRINGS,)),),
)
