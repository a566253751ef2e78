"""The values that SMTP and LMTP reception speaks in: replies, envelopes, limits and events (RFC 5321, 2033).

No I/O, no clock: whoever owns the socket enforces the limits whose unit is seconds.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Literal

# "submission": SMTP from users who log in (RFC 6409).
Role = Literal["smtp", "lmtp", "submission"]
# "with" of the Received field (RFC 3848, RFC 6531 §4.3); "SMTP" after HELO.
Protocol = Literal[
    "SMTP", "ESMTP", "ESMTPS", "UTF8SMTP", "UTF8SMTPS", "LMTP", "LMTPS", "UTF8LMTP", "UTF8LMTPS",
    "ESMTPA", "ESMTPSA", "UTF8SMTPA", "UTF8SMTPSA",
]  # fmt: skip
# ESMTP parameters by upper-case keyword; None: one without a value. xtext is decoded.
Parameters = Mapping[str, str | None]
Body = Literal["7BIT", "8BITMIME", "BINARYMIME"]
# Why a session ended; "lost": the connection broke.
Reason = Literal["quit", "protocol", "limit", "shutdown", "timeout", "lost"]

# §4.5.3.1.5: 512 octets with code and CRLF; the rest is for code and enhanced code.
_REPLY_TEXT = 480
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
# What may stand in "from" of a Received field; the client chose its name freely.
_NOT_DOMAIN = re.compile(r"[^A-Za-z0-9.:\[\]_-]")


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply (§4.2); ``enhanced`` (RFC 3463) is empty where RFC 2034 §4 has no such code."""

    code: int
    enhanced: str
    text: str

    @property
    def is_success(self) -> bool:
        return 200 <= self.code < 300

    @property
    def is_final(self) -> bool:
        return self.is_success or self.is_refusal

    @property
    def is_refusal(self) -> bool:
        return 400 <= self.code < 600

    def encode(self) -> bytes:
        """The reply as sent: a line for each line of ``text``, nothing in it that could end a line early.

        Not ASCII becomes "?": a client need not understand UTF-8 in replies (RFC 6531 §3.5).
        """
        return _encode(self.code, self.enhanced, self.text)


@lru_cache(256)
def _encode(code: int, enhanced: str, text: str) -> bytes:
    """Cached: a server says the same few things all day."""
    prefix = f"{enhanced} " if enhanced else ""
    *lines, last = [prefix + _CONTROL.sub(" ", line)[:_REPLY_TEXT] for line in text.split("\n")]
    return "".join([*(f"{code}-{line}\r\n" for line in lines), f"{code} {last}\r\n"]).encode(
        "ascii", "replace"
    )


@dataclass(frozen=True, slots=True)
class Login:
    """Who has logged in, and the name of the credential that was used (``ports.Identity``)."""

    user: str
    credential: str


@dataclass(frozen=True, slots=True)
class Wishes:
    """Who submits a message, and what is asked for it: parameters of MAIL (RET, ENVID, HOLDFOR, HOLDUNTIL),
    and of each recipient in order (NOTIFY, ORCPT)."""

    login: Login
    parameters: Parameters
    of_recipients: tuple[Parameters, ...]


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends a message to whom, and how it came in (§2.3.1).

    ``sender`` is empty for the null reverse-path. Recipients are the accepted ones in the order of
    RCPT, repeated ones included. ``client`` is the peer's address, empty for a local socket.
    ``size`` is what the client declared (RFC 1870), None: nothing. ``wishes``: of a user who submits.
    """

    sender: str
    recipients: tuple[str, ...]
    client: str
    helo: str
    protocol: Protocol
    smtputf8: bool = False
    body: Body = "7BIT"
    size: int | None = None
    tls: bool = False
    wishes: Wishes | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """How far in the future messages may be held (RFC 4865), and what time it is."""

    max_s: int
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, and all of them together, may use."""

    message_size: int = 50 * 1024 * 1024
    # Message octets held for all connections of a server, arriving or being delivered.
    in_flight: int = 512 * 1024 * 1024
    # RCPT commands of one transaction, refused ones included: §4.5.3.1.8 asks for 100 at least.
    recipients: int = 1000
    # Octets without CRLF: 512 (§4.5.3.1.4) and room for parameters and UTF-8 addresses (RFC 6531 §3.4).
    command_line: int = 2048
    # Commands refused for syntax or sequence before the connection is closed.
    bad_commands: int = 20
    # Commands that carry no mail forward (NOOP, RSET, VRFY ...) since the last message.
    junk_commands: int = 200
    # Logins that fail before the connection is closed.
    failed_logins: int = 3
    connections: int = 1000
    connections_per_client: int = 100
    # Without a command, or without an octet of a message (§4.5.3.2.7: 5 minutes at least).
    idle_timeout_s: float = 300
    # From MAIL to the end of the message, however the client dribbles.
    transaction_timeout_s: float = 1800


class Budget:
    """A number of octets that many sessions share."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    @property
    def left(self) -> int:
        return self.limit - self.used

    def take(self, octets: int) -> bool:
        """Charge so many octets; False: they are not left, and nothing was charged."""
        if octets > self.left:
            return False
        self.used += octets
        return True

    def give_back(self, octets: int) -> None:
        self.used -= octets


@dataclass(frozen=True, slots=True)
class RecipientOffered:
    """RCPT with a good address: the session waits for ``answer_recipient``."""

    address: str


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A whole message, dots unstuffed: the session waits for ``answer_message``.

    ``text`` belongs to the caller, who may empty it; it stays charged to the budget until the answer.
    """

    envelope: Envelope
    text: bytearray


@dataclass(frozen=True, slots=True)
class TlsRequested:
    """STARTTLS was answered with 220: send that, ``discard_received``, do the handshake, ``tls_started``."""


@dataclass(frozen=True, slots=True)
class LoginOffered:
    """AUTH has brought a name and a password: the session waits for ``answer_login``."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SenderOffered:
    """MAIL of a user: the session waits for ``answer_sender``. ``address``: "": the null reverse-path."""

    login: Login
    address: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The session is over: send what is to be sent and close. ``reason`` is a word for the log."""

    reason: Reason


Event = RecipientOffered | MessageReceived | TlsRequested | LoginOffered | SenderOffered | Closed


# The messages of one second have one date, and to write it takes longer than the rest of the fields.
_date_time = lru_cache(8)(format_datetime)


def trace_headers(
    envelope: Envelope, hostname: str, id: str, date: datetime, for_recipient: str | None
) -> bytes:
    """The Return-Path and Received fields that final delivery puts before a message (§4.4).

    ``for_recipient``: None leaves "for" out, as it must be when one recipient is not to learn of
    another (§7.6). ``date`` carries its offset.
    """
    helo = _NOT_DOMAIN.sub("?", envelope.helo)
    peer = envelope.client
    literal = f" ([{'IPv6:' if ':' in peer else ''}{peer}])" if peer else ""
    recipient = f"\r\n\tfor <{for_recipient}>" if for_recipient else ""
    return (
        f"Return-Path: <{envelope.sender}>\r\n"
        f"Received: from {helo}{literal}\r\n"
        f"\tby {hostname} with {envelope.protocol} id {id}{recipient};\r\n"
        f"\t{_date_time(date.replace(microsecond=0))}\r\n"
    ).encode()


def submission_trace(envelope: Envelope, hostname: str, id: str, date: datetime) -> bytes:
    """The Received field of a message that a user has submitted.

    It names neither the user nor the user's host, which is not the recipients' business (§7.6); so it has no
    "from", as RFC 5322 §3.6.7 allows and the grammar of §4.4 does not. Our log has the address under ``id``.
    """
    return (
        f"Received: by {hostname} with {envelope.protocol} id {id};\r\n"
        f"\t{_date_time(date.replace(microsecond=0))}\r\n"
    ).encode()
