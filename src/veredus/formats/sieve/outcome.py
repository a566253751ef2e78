"""What a script decided, as values; whoever delivers carries it out."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keep:
    """Into the inbox. ``message``: what to store if editheader changed it before; None: as it came."""

    flags: tuple[str, ...] = ()
    message: bytes | None = None


@dataclass(frozen=True, slots=True)
class FileInto:
    """Into a mailbox, by the path that the script says.

    ``mailbox_id`` (RFC 9042) and then ``special_use`` (RFC 8579, such as ``\\Junk``) win over the path if
    there is such a mailbox. ``create``: make it if it is missing (RFC 5490 §3.2); without it a message for
    a missing mailbox is for the inbox.
    """

    mailbox: str
    flags: tuple[str, ...] = ()
    create: bool = False
    special_use: str | None = None
    mailbox_id: str | None = None
    message: bytes | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """To another address, with the envelope sender that the message came with."""

    address: str
    message: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the message (RFC 5429); ``is_extended``: ereject, at best by an SMTP reply."""

    reason: str
    is_extended: bool


@dataclass(frozen=True, slots=True)
class Discard:
    """Throw it away in silence. Listed only where nothing else is done with the message."""


@dataclass(frozen=True, slots=True)
class Vacation:
    """Answer the sender, if nobody answered them for ``handle`` within ``seconds`` (RFC 5230, RFC 6131).

    ``seconds`` 0: always. ``subject`` None: "Auto: " and the subject of the message. ``from_`` None: the
    address of the recipient. ``mime``: ``reason`` is a MIME entity, header fields first.
    """

    handle: str
    seconds: int
    subject: str | None
    from_: str | None
    addresses: tuple[str, ...]
    mime: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell of the message by ``method``, a ``mailto:`` URI (RFC 5435, RFC 5436); see ``mailto``.

    ``message`` None: the text is up to the sender. ``importance``: 1 (high) to 3.
    """

    method: str
    message: str | None
    from_: str | None
    importance: int
    options: tuple[str, ...]


Action = Keep | FileInto | Redirect | Reject | Discard | Vacation | Notify


@dataclass(frozen=True, slots=True)
class Duplicate:
    """To remember for ``seconds`` (RFC 7352); ``last``: from this message on, though it was known."""

    key: str
    seconds: int
    last: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """``actions`` in order, the implicit keep among them. ``message``: as editheader left it, if it did.

    ``error``: a sentence with the line where the script ended; then there is but a Keep, and nothing to
    remember (RFC 5228 §2.10.6). ``steps``: what it cost.
    """

    actions: tuple[Action, ...]
    duplicates: tuple[Duplicate, ...] = ()
    message: bytes | None = None
    error: str | None = None
    steps: int = 0
