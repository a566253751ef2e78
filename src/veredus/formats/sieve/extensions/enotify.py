"""enotify (RFC 5435) by mailto (RFC 5436)."""

from veredus.formats.sieve.addresses import address_in
from veredus.formats.sieve.errors import RunError
from veredus.formats.sieve.extensions.vacation import is_automatic
from veredus.formats.sieve.extensions.variables import MODIFIERS, URL_MODIFIER
from veredus.formats.sieve.mailto import mailto
from veredus.formats.sieve.matching import MATCHING, matcher
from veredus.formats.sieve.outcome import Notify
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec, Tag
from veredus.formats.sieve.state import Command, Run, Test

_IMPORTANCES = ("1", "2", "3")


def _notify(args: Arguments) -> Command:
    method, message = args.texts(0), args.optional("message")
    from_, importance, options = args.optional("from"), args.optional("importance"), args.optional("options")
    if method.constant is not None:
        _check_constant(args, method.constant[0])

    def notify(run: Run) -> None:
        action = Notify(
            method=method.one(run),
            message=message.one(run) if message else None,
            from_=from_.one(run) if from_ else None,
            importance=_importance(importance.one(run) if importance else "2"),
            options=options.of(run) if options else (),
        )
        try:
            mailto(action.method)
        except ValueError as error:
            raise RunError(f"notify: {error}") from None
        if action.from_ is not None and not address_in(action.from_):
            raise RunError("notify :from is no address")
        # RFC 5436 §2.7.1: not of what no person wrote, notifications above all.
        if not is_automatic(run):
            run.act(action)
            if sum(isinstance(other, Notify) for other in run.actions) > run.environment.max_redirects:
                raise RunError(f"more than {run.environment.max_redirects} notifications")

    return notify


def _check_constant(args: Arguments, method: str) -> None:
    try:
        mailto(method)
    except ValueError as error:
        raise args.error(f"notify: {error}", 0) from None


def _importance(value: str) -> int:
    if value not in _IMPORTANCES:
        raise RunError("notify :importance is 1, 2 or 3")
    return int(value)


def _valid_notify_method(args: Arguments) -> Test:
    methods = args.texts(0)
    return lambda run: all(_is_valid(method) for method in methods.of(run))


def _notify_method_capability(args: Arguments) -> Test:
    """RFC 5435 §5: mail waits, so nobody knows whether its reader is there."""
    method, capability, matches = args.texts(0), args.texts(1), matcher(args, 2)

    def notify_method_capability(run: Run) -> bool:
        is_known = _is_valid(method.one(run)) and capability.one(run).lower() == "online"
        return is_known and matches(run, ["maybe"])

    return notify_method_capability


def _is_valid(method: str) -> bool:
    try:
        mailto(method)
    except ValueError:
        return False
    return True


ENOTIFY = Extension(
    ("enotify",),
    commands=(
        Spec(
            "notify",
            _notify,
            (Kind.STRING,),
            tags=(
                Tag("from", Kind.STRING),
                Tag("importance", Kind.STRING),
                Tag("options", Kind.STRINGS),
                Tag("message", Kind.STRING),
            ),
        ),
    ),
    tests=(
        Spec("valid_notify_method", _valid_notify_method, (Kind.STRINGS,)),
        Spec(
            "notify_method_capability",
            _notify_method_capability,
            (Kind.STRING, Kind.STRING, Kind.STRINGS),
            traits=(MATCHING,),
        ),
    ),
    tags={MODIFIERS: URL_MODIFIER},
)
