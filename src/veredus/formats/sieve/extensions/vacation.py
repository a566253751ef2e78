"""vacation (RFC 5230) with :seconds (RFC 6131)."""

import hashlib
import re
from collections.abc import Collection

from veredus.formats.sieve.addresses import address_in, normalized
from veredus.formats.sieve.errors import RunError
from veredus.formats.sieve.outcome import Vacation
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec, Tag
from veredus.formats.sieve.state import Command, Run

_DAY = 86_400
_DEFAULT = 7 * _DAY
_LONGEST = 365 * _DAY
_RECIPIENTS = ("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc")
# Who never gets an answer (§4.6): programs, lists and those who look after them.
_PROGRAMS = re.compile(
    r"mailer-daemon|owner-.*|.*-owner|.*-request|.*-bounces?|listserv|majordomo|no-?reply|do-?not-?reply",
    re.DOTALL,
)
_BULK = frozenset({"bulk", "list", "junk"})


def _vacation(args: Arguments) -> Command:
    reason, seconds = args.texts(0), _seconds(args)
    handle, subject, from_ = args.optional("handle"), args.optional("subject"), args.optional("from")
    addresses, mime = args.optional("addresses"), args.has("mime")
    if from_ is not None and from_.constant and not address_in(from_.constant[0]):
        raise args.error(f'"{from_.constant[0]}" is no address', "from")

    def vacation(run: Run) -> None:
        own = addresses.of(run) if addresses else ()
        action = Vacation(
            handle=handle.one(run) if handle else "",
            seconds=seconds,
            subject=" ".join(subject.one(run).split()) if subject else None,
            from_=from_.one(run) if from_ else None,
            addresses=own,
            mime=mime,
            reason=reason.one(run),
        )
        if action.from_ is not None and not address_in(action.from_):
            raise RunError("vacation :from is no address")
        if any(isinstance(other, Vacation) for other in run.actions) or run.answered:
            raise RunError("vacation may be used once only")
        run.answered = True
        if wants_answer(run, own):
            run.act(action if handle else _with_handle(action))

    return vacation


def _seconds(args: Arguments) -> int:
    seconds, days = args.number("seconds"), args.number("days")
    if seconds is not None and days is not None:
        raise args.error(":seconds does not go with :days", "seconds")
    if seconds is not None:
        return min(seconds, _LONGEST)
    # §4.1: of days at least one.
    return _DEFAULT if days is None else min(max(days, 1) * _DAY, _LONGEST)


def _with_handle(action: Vacation) -> Vacation:
    """§4.7: without :handle, answers with the same text, subject and sender are one."""
    parts = (action.reason, action.subject or "", action.from_ or "", str(action.mime))
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]
    return Vacation(
        digest, action.seconds, action.subject, action.from_, action.addresses, action.mime, action.reason
    )


def wants_answer(run: Run, addresses: Collection[str]) -> bool:
    """If a person wrote to one of the recipient's addresses (§4.5, §4.6; RFC 3834 §2)."""
    sender = normalized(run.environment.sender)
    own = {normalized(address) for address in (*run.environment.own_addresses, *_recipient(run))}
    if not sender or sender in own or _PROGRAMS.fullmatch(sender.rpartition("@")[0]):
        return False
    headers = run.headers
    if any(name.startswith("list-") for name in headers.names()):
        return False
    if is_automatic(run):
        return False
    if any(text.lower() in _BULK for text in headers.texts("precedence")):
        return False
    own.update(normalized(address) for address in addresses)
    return any(normalized(address) in own for name in _RECIPIENTS for address in headers.addresses(name))


def is_automatic(run: Run) -> bool:
    """If a program wrote the message (RFC 3834 §5)."""
    keywords = (text.partition(";")[0].strip().lower() for text in run.headers.texts("auto-submitted"))
    return any(keyword not in ("", "no") for keyword in keywords)


def _recipient(run: Run) -> tuple[str, str]:
    """The address that the message came for, with and without its detail."""
    recipient, separator = run.environment.recipient, run.environment.subaddress_separator
    local, at, domain = recipient.rpartition("@")
    return recipient, (local.partition(separator)[0] if separator else local) + at + domain


VACATION = Extension(
    ("vacation", "vacation-seconds"),
    commands=(
        Spec(
            "vacation",
            _vacation,
            (Kind.STRING,),
            tags=(
                Tag("days", Kind.NUMBER),
                Tag("subject", Kind.STRING),
                Tag("from", Kind.STRING),
                Tag("addresses", Kind.STRINGS),
                Tag("mime"),
                Tag("handle", Kind.STRING),
            ),
        ),
    ),
)
VACATION_SECONDS = Extension(("vacation-seconds",), tags={"vacation": (Tag("seconds", Kind.NUMBER),)})
