"""What happens to a message that a user submits by SMTP (RFC 6409): whose it is, what it lacks, and that it
leaves.

Addresses: a user sends from the addresses of accounts that the user may write, in MAIL as in From and Sender.
What is not finished is refused at the command that shows it, so that the client can tell its user at once.
"""

import base64
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime, make_msgid
from typing import Literal

import structlog
from msgspec import Struct

from veredus.formats.mime.header import Header, as_addresses, split_header_block
from veredus.mail.outbox import Departure, depart
from veredus.ports import Address, Authenticator, BlobStore, Clock, Directory, Identity, Store, Unavailable
from veredus.reception import Envelope, Login, Reply, Wishes
from veredus.wire.dates import utc_date
from veredus.wire.types import Id

log = structlog.get_logger()

_OFF = Reply(550, "5.7.1", "This server sends no mail")
_READ_ONLY = Reply(535, "5.7.8", "These credentials are for reading only")
_GONE = Reply(530, "5.7.0", "Your credentials are not valid any more: log in again")
_NOT_YOURS = Reply(550, "5.7.1", "You may not send from this address")
_FROM_NOT_YOURS = Reply(550, "5.7.1", "From and Sender must be addresses of yours")
_NO_SUCH_USER = Reply(550, "5.1.1", "No such recipient here")
_NO_DOMAIN = Reply(550, "5.1.3", "The address needs a domain")
_ONLY_LOCAL = Reply(550, "5.7.1", "This server sends to its own users only")
_NOT_A_MESSAGE = Reply(554, "5.6.0", "This is not an Internet message (RFC 5322)")
_UNAVAILABLE = Reply(451, "4.3.0", "Temporary failure, try again later")

_BARE = re.compile(rb"\r\n|\r|\n")
_FIELD_END = re.compile(rb"\r\n(?![ \t])")
# Fields of which a message has one at most (RFC 5322 §3.6), where the first might be shown to some and the
# last to others.
_SINGLE = frozenset({"from", "sender", "date", "message-id", "subject", "to", "cc", "reply-to"})


class Policy(Struct, frozen=True):
    """``sends``: to whom at all. ``is_ours``: whether all addresses of a domain are accounts here, so that an
    unknown one can be refused at once."""

    hostname: str
    sends: Literal["off", "local", "all"]
    is_ours: Callable[[str], Awaitable[bool]]


class Submitted:
    """reception.Submission into the outbox of the account that owns the sender's address."""

    def __init__(
        self,
        store: Store,
        blobs: BlobStore,
        directory: Directory,
        authenticator: Authenticator,
        clock: Clock,
        policy: Policy,
    ) -> None:
        self._store, self._blobs, self._directory = store, blobs, directory
        self._authenticator, self._clock, self._policy = authenticator, clock, policy

    async def log_in(self, user: str, password: str) -> Login | Reply | None:
        """The same check as of HTTP: passwords, tokens, and the cache of both."""
        if ":" in user:
            return None  # RFC 7617 §2 knows no such name
        secret = base64.b64encode(f"{user}:{password}".encode()).decode()
        identity = await self._authenticator.authenticate(f"Basic {secret}")
        if identity is None:
            return None
        return Login(identity.user, identity.credential) if identity.scope == "write" else _READ_ONLY

    async def sender(self, login: Login, address: str) -> Reply | None:
        """Also whether the credentials are still good: a connection may be old."""
        if self._policy.sends == "off":
            return _OFF
        if not await self._authenticator.is_valid(Identity(login.user, login.credential)):
            return _GONE
        return None if await self._account(login, address) else _NOT_YOURS

    async def _account(self, login: Login, address: str) -> Id | None:
        """The account from which the user sends under this address; "": the user's own."""
        writable = [info.id for info in await self._directory.accounts(login.user) if info.access == "write"]
        if not address:
            return writable[0] if writable else None
        account = await self._directory.resolve(address)
        return account if account in writable else None

    async def recipient(self, address: str) -> Reply | None:
        """Refuse at once who would bounce for certain: the user is there to correct a slip of the pen. Nobody
        can find out more by it than from the bounce."""
        _, at, domain = address.rpartition("@")
        if not at:
            return _NO_DOMAIN
        if self._policy.sends == "all" and not await self._policy.is_ours(domain.lower()):
            return None
        if await self._directory.resolve(address):
            return None
        return _NO_SUCH_USER if await self._policy.is_ours(domain.lower()) else _ONLY_LOCAL

    async def deliver(self, envelope: Envelope, message: bytes) -> Sequence[Reply]:
        """One reply for all; 250 once the message will leave, whatever happens to us."""
        try:
            reply = await self._submit(envelope, message)
        except Unavailable as error:
            log.warning("submission postponed", error=str(error))
            reply = _UNAVAILABLE
        return [reply] * len(envelope.recipients)

    async def _submit(self, envelope: Envelope, message: bytes) -> Reply:
        wishes = envelope.wishes
        assert wishes
        account = await self._account(wishes.login, envelope.sender)
        if account is None:
            return _NOT_YOURS
        data = _with_crlf(message)
        headers = _headers(data)
        # The first is our own Received.
        if len(headers) < 2 or not (envelope.sender or _has(headers, "from")):
            return _NOT_A_MESSAGE
        if twice := _repeated(headers):
            return Reply(554, "5.6.0", f"The message has more than one {twice} field (RFC 5322)")
        if not await self._may_write_as(wishes.login, headers):
            return _FROM_NOT_YOURS
        now = self._clock.now()
        data = self._completed(data, headers, envelope.sender, now)
        blob = await self._blobs.put(data, max_size=len(data))
        departure = _departure(envelope, wishes, now, blob.id, blob.size)
        async with self._store.write(account) as tx:
            await depart(tx, departure)
        log.info(
            "submitted",
            account=account,
            departure=departure.id,
            octets=blob.size,
            recipients=len(envelope.recipients),
            held=departure.is_held,
        )
        return Reply(250, "2.6.0", f"Accepted as {departure.id}")

    async def _may_write_as(self, login: Login, headers: Iterable[Header]) -> bool:
        """Whether every address of From and Sender is the user's; a field without an address is nobody's."""
        for name, value in headers:
            if name.lower() in ("from", "sender"):
                addresses = [address["email"] for address in as_addresses(value)]
                if not addresses:
                    return False
                for address in addresses:
                    if not address or not await self._account(login, address):
                        return False
        return True

    def _completed(self, data: bytes, headers: Sequence[Header], sender: str, now: datetime) -> bytes:
        """With the From, Date and Message-ID that it lacks, behind our Received (RFC 6409 §8)."""
        lacking = ""
        if not _has(headers, "from"):
            lacking += f"From: <{sender}>\r\n"
        if not _has(headers, "date"):
            lacking += f"Date: {format_datetime(now.replace(microsecond=0))}\r\n"
        if not _has(headers, "message-id"):
            lacking += f"Message-ID: {make_msgid(domain=self._policy.hostname)}\r\n"
        if not lacking:
            return data
        received = _FIELD_END.search(data)
        assert received
        return b"".join((data[: received.end()], lacking.encode(), data[received.end() :]))


def _with_crlf(data: bytes) -> bytes:
    """Every line ended by CRLF. To hand a bare LF on is to leave it to the next host what a line is, and so
    where the message ends."""
    if data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r"):
        return data
    return _BARE.sub(b"\r\n", data)


def _headers(data: bytes) -> list[Header]:
    end = data.find(b"\r\n\r\n")
    headers, _ = split_header_block(data if end < 0 else data[: end + 2])
    return headers


def _has(headers: Iterable[Header], name: str) -> bool:
    return any(header.name.lower() == name for header in headers)


def _repeated(headers: Iterable[Header]) -> str | None:
    """The name of a field that is there twice and may not be."""
    seen: set[str] = set()
    for name, _ in headers:
        lower = name.lower()
        if lower in _SINGLE and lower in seen:
            return name
        seen.add(lower)
    return None


def _departure(envelope: Envelope, wishes: Wishes, now: datetime, blob_id: str, size: int) -> Departure:
    parameters = dict(wishes.parameters)
    # It is ours to hold the message, not the next host's.
    seconds, until = parameters.pop("HOLDFOR", None), parameters.pop("HOLDUNTIL", None)
    send_at = now
    if seconds:
        send_at = now + timedelta(seconds=int(seconds))
    elif until:
        send_at = max(now, datetime.fromisoformat(until))
    if envelope.smtputf8:
        parameters["SMTPUTF8"] = None
    if send_at > now:
        # Not before its time: what is stored has whole seconds.
        send_at += timedelta(seconds=1, microseconds=-1)
    recipients = zip(envelope.recipients, wishes.of_recipients, strict=True)
    return Departure(
        sender=Address(envelope.sender, parameters or None),
        recipients=tuple(Address(email, dict(of_this) or None) for email, of_this in recipients),
        blob_id=blob_id,
        size=size,
        created_at=utc_date(now),
        send_at=utc_date(send_at),
        is_held=send_at > now,
        origin="smtp",
    )
