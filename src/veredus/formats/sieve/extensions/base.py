"""The base language: control, keep, discard, redirect, and its tests (RFC 5228 §3-5)."""

from veredus.formats.sieve.address_parts import ADDRESS_PART, addresses_of
from veredus.formats.sieve.addresses import address_in
from veredus.formats.sieve.errors import RunError
from veredus.formats.sieve.fields import FIELDS, MIME, MIME_OPTIONS, field_names, text_source
from veredus.formats.sieve.flags import flags_of
from veredus.formats.sieve.matching import MATCH_TYPE, MATCHING, matcher
from veredus.formats.sieve.outcome import Discard, Keep, Redirect
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec, Tag
from veredus.formats.sieve.state import Command, Flow, Run, Test

# ---------------------------------------------------------------- commands


def _stop(args: Arguments) -> Command:
    return lambda run: Flow.STOP


def _keep(args: Arguments) -> Command:
    flags = flags_of(args)

    def keep(run: Run) -> None:
        run.act(Keep(flags(run), run.edited))
        run.keeps = False

    return keep


def _discard(args: Arguments) -> Command:
    def discard(run: Run) -> None:
        run.act(Discard())
        run.keeps = False

    return discard


def _redirect(args: Arguments) -> Command:
    """§4.2; with :copy the implicit keep stays (RFC 3894)."""
    to, copy = args.texts(0), args.has("copy")
    if to.constant is not None and not address_in(to.constant[0]):
        raise args.error(f'"{to.constant[0]}" is no address', 0)

    def redirect(run: Run) -> None:
        address = address_in(to.one(run))
        if address is None:
            raise RunError("redirect to what is no address")
        run.act(Redirect(address, run.edited))
        most = run.environment.max_redirects
        if len({action.address for action in run.actions if isinstance(action, Redirect)}) > most:
            raise RunError(f"more than {most} redirects")
        run.keeps = run.keeps and copy

    return redirect


# ---------------------------------------------------------------- tests


def _true(args: Arguments) -> Test:
    return lambda run: True


def _false(args: Arguments) -> Test:
    return lambda run: False


def _not(args: Arguments) -> Test:
    (test,) = args.tests
    return lambda run: not test(run)


def _allof(args: Arguments) -> Test:
    tests = args.tests
    return lambda run: all(test(run) for test in tests)


def _anyof(args: Arguments) -> Test:
    tests = args.tests
    return lambda run: any(test(run) for test in tests)


def _header(args: Arguments) -> Test:
    names, texts, matches = field_names(args, 0), text_source(args), matcher(args, 1)

    def header(run: Run) -> bool:
        wanted = names(run)
        values = (
            texts(run, wanted[0]) if len(wanted) == 1 else [v for name in wanted for v in texts(run, name)]
        )
        return matches(run, values)

    return header


def _address(args: Arguments) -> Test:
    return addresses_of(args, 0, 1)


def _exists(args: Arguments) -> Test:
    names, texts = field_names(args, 0), text_source(args)

    def exists(run: Run) -> bool:
        return all(texts(run, name) for name in names(run))

    return exists


def _size(args: Arguments) -> Test:
    limit = args.number(0) or 0
    if "size" not in args.choices:
        raise args.error("size needs :over or :under")
    if args.choices["size"] == "over":
        return lambda run: run.headers.size > limit
    return lambda run: run.headers.size < limit


_NAMES_AND_KEYS = (Kind.STRINGS, Kind.STRINGS)
_COMPARISON = ("is", "contains", "matches")

BASE = Extension(
    capabilities=(),
    commands=(
        Spec("stop", _stop),
        Spec("keep", _keep),
        Spec("discard", _discard),
        Spec("redirect", _redirect, (Kind.STRING,)),
    ),
    tests=(
        Spec("true", _true),
        Spec("false", _false),
        Spec("not", _not, tests="one"),
        Spec("allof", _allof, tests="many"),
        Spec("anyof", _anyof, tests="many"),
        Spec("header", _header, _NAMES_AND_KEYS, traits=(MATCHING, FIELDS, MIME, MIME_OPTIONS)),
        Spec("address", _address, _NAMES_AND_KEYS, traits=(MATCHING, FIELDS, MIME, ADDRESS_PART)),
        Spec("exists", _exists, (Kind.STRINGS,), traits=(MIME,)),
        Spec("size", _size, (Kind.NUMBER,), tags=(Tag("over", group="size"), Tag("under", group="size"))),
    ),
    tags={
        MATCHING: (
            Tag("comparator", Kind.STRING),
            *(Tag(name, group=MATCH_TYPE) for name in _COMPARISON),
        ),
        ADDRESS_PART: tuple(Tag(name, group=ADDRESS_PART) for name in ("all", "localpart", "domain")),
    },
)
