"""include (RFC 6609): scripts within scripts, and the variables that they share."""

from typing import cast

from veredus.formats.sieve.environment import Location
from veredus.formats.sieve.errors import RunError
from veredus.formats.sieve.extensions.variables import checked_name
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec, Tag
from veredus.formats.sieve.state import Command, Flow, Run, Scope
from veredus.formats.sieve.texts import Texts


def _include(args: Arguments) -> Command:
    """§3.2. A script that includes itself, straight or by way of others, is an error."""
    location = cast("Location", args.choices.get("location", "personal"))
    once, optional = args.has("once"), args.has("optional")
    name = args.constant(0, "the name of a script")

    def include(run: Run) -> Flow | None:
        key = (location, name)
        if once and key in run.included:
            return None
        script = run.environment.include(name, location)
        if script is None:
            if optional:
                return None
            raise RunError(f'there is no {location} script "{name}" to include')
        _check_nesting(run, key)
        return _inside(run, key, script.body)

    return include


def _check_nesting(run: Run, key: tuple[str, str]) -> None:
    if any(scope.key == key for scope in (*run.scopes, run.scope)):
        raise RunError(f'the script "{key[1]}" includes itself')
    if len(run.scopes) >= run.limits.max_include_depth:
        raise RunError(f"scripts include each other more than {run.limits.max_include_depth} deep")


def _inside(run: Run, key: tuple[str, str], body: Command) -> Flow | None:
    """An error leaves the scope of the script that it is in, which its sentence names."""
    run.included.add(key)
    run.scopes.append(run.scope)
    run.scope = Scope(name=key[1], key=key)
    flow = body(run)
    run.scope = run.scopes.pop()
    return None if flow is Flow.RETURN else flow


def _return(args: Arguments) -> Command:
    """§3.3: of a script that nobody included, the end."""
    return lambda run: Flow.RETURN


def _global(args: Arguments) -> Command:
    """§3.4.1."""
    args.compiler.check_capability("variables", "global", args.offset)
    names = _names(args, args.texts(0))

    def share(run: Run) -> None:
        run.scope.shared.update(names)

    return share


def _names(args: Arguments, texts: Texts) -> list[str]:
    if texts.constant is None:
        raise args.error("the names of variables must be constant strings", 0)
    return [checked_name(args, name, 0) for name in texts.constant]


INCLUDE = Extension(
    ("include",),
    commands=(
        Spec(
            "include",
            _include,
            (Kind.STRING,),
            tags=(
                Tag("personal", group="location"),
                Tag("global", group="location"),
                Tag("once"),
                Tag("optional"),
            ),
        ),
        Spec("return", _return),
        Spec("global", _global, (Kind.STRINGS,)),
    ),
)
