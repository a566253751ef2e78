"""Which capability a data type belongs to: what goes into ``using`` (RFC 8620 §3.3)."""

from veredus.client.session import CORE, MAIL, Session

_JMAP = "urn:ietf:params:jmap:"
_TYPES = {
    "Core": CORE,
    "PushSubscription": CORE,
    "Mailbox": MAIL,
    "Thread": MAIL,
    "Email": MAIL,
    "SearchSnippet": MAIL,
    "Identity": _JMAP + "submission",
    "EmailSubmission": _JMAP + "submission",
    "VacationResponse": _JMAP + "vacationresponse",
    "Blob": _JMAP + "blob",
    "Quota": _JMAP + "quota",
    "AddressBook": _JMAP + "contacts",
    "ContactCard": _JMAP + "contacts",
    "Calendar": _JMAP + "calendars",
    "CalendarEvent": _JMAP + "calendars",
    "CalendarEventNotification": _JMAP + "calendars",
    "ParticipantIdentity": _JMAP + "calendars",
    "SieveScript": _JMAP + "sieve",
    "MDN": _JMAP + "mdn",
    "Principal": _JMAP + "principals",
    "ShareNotification": _JMAP + "principals",
}
# RFC 8620 §4, §7.2: not tied to an account, and they may not be told of one.
_WITHOUT_ACCOUNT = frozenset({"Core/echo", "PushSubscription/get", "PushSubscription/set"})
# Methods that change nothing: to send one twice is safe.
_READING = frozenset({"get", "changes", "query", "queryChanges", "parse", "lookup", "echo"})


def capability_of(type: str) -> str | None:
    """The capability of a data type; None: not one that we know."""
    return _TYPES.get(type)


def using(types: set[str], session: Session) -> list[str]:
    """What a request with methods of ``types`` says in ``using``.

    A type that we do not know may belong to any capability, so all of the session's are named.
    Raises NotSupported.
    """
    known = {_TYPES[type] for type in types if type in _TYPES}
    if "EmailSubmission" in types:
        known.add(MAIL)  # it may imply an Email/set (RFC 8621 §7.5)
    for capability in known:
        session.require(capability)
    if len(known) < len({_TYPES.get(type, type) for type in types}):
        return sorted(session.capabilities)
    return [CORE, *sorted(known - {CORE})]


def has_account(method: str) -> bool:
    """Whether ``method`` takes an ``accountId``."""
    return method not in _WITHOUT_ACCOUNT


def is_reading(method: str) -> bool:
    """Whether ``method`` changes nothing."""
    return method.rpartition("/")[2] in _READING


def types_of_account(session: Session, account: str) -> list[str]:
    """The data types that push can tell of, of those the account has a capability for."""
    has = session.accounts[account].account_capabilities
    pushed = ("Core", "PushSubscription", "SearchSnippet", "Blob", "MDN")
    return [type for type, capability in _TYPES.items() if capability in has and type not in pushed]
