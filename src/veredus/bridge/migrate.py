"""From jmap2nats to us, with the same stream: what there is, and from where reading goes on.

Without a cursor, which only its generation 1 has, the last message of the stream says how far it came. What
was received since then and is not in the stream becomes a snapshot to be done by the reader, which then
follows from a state that was read before anything else.
"""

from msgspec import Struct
from msgspec.structs import replace

from veredus.bridge.ask import Target, ask_snapshot
from veredus.bridge.nats.jetstream import Stored, last_message, stream_info
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.streams import published
from veredus.bridge.wire.generation import detect
from veredus.client.errors import JMAPError


class Found(Struct, frozen=True):
    """One account before it is taken over. ``last``: its last message; None: the stream has none.

    ``missing`` and ``known``: Emails received since then, without and with a message in the stream; None
    when there is a cursor, from which it is all known. ``received_at`` None: the last message does not say.
    """

    account: str
    wire: str
    messages: int
    cursor: str | None
    last: Stored | None = None
    received_at: str | None = None
    missing: int | None = None
    known: int | None = None
    is_asked: bool = False


async def look(target: Target) -> Found:
    """What there is. Raises JMAPError and NatsError."""
    settings, streams, account = target.settings, target.streams, target.source.account
    messages = (await stream_info(streams.link, settings.stream.name)).messages
    last = await _last_of(target)
    found = Found(
        account=account,
        wire=await _wire(target),
        messages=messages,
        cursor=await target.cursor.load(),
        last=last,
        received_at=None if last is None else last.headers.get("Jmap-Received-At"),
        is_asked=await target.snapshot.is_asked(),
    )
    if found.cursor is not None or found.received_at is None:
        return found
    stored = await published(streams.link, settings, account)
    ids = await _received_since(target, found.received_at)
    missing = sum(id not in stored for id in ids)
    return replace(found, missing=missing, known=len(ids) - missing)


async def take_over(target: Target, found: Found) -> str:
    """Leave for the reader what is missing; the state from which it then follows.

    Raises NothingToDo, JMAPError and NatsError.
    """
    if found.cursor is not None:
        raise NothingToDo(f"account {found.account} has a cursor: a bridge goes on from it")
    if found.received_at is None:
        raise NothingToDo(
            f"account {found.account} has no message in the stream that says when it was received: "
            "a bridge begins as snapshot.mode says"
        )
    return await ask_snapshot(target, found.received_at)


class NothingToDo(JMAPError):
    """There is nothing to migrate; says why."""


async def _last_of(target: Target) -> Stored | None:
    """In generation 0a each Email has a subject of its own."""
    settings, link, account = target.settings, target.streams.link, target.source.account
    prefix, name = settings.stream.subject_prefix, settings.stream.name
    found = [
        await last_message(link, name, subject)
        for subject in (f"{prefix}.{account}", f"{prefix}.{account}.>")
    ]
    return max((one for one in found if one is not None), key=lambda one: one.sequence, default=None)


async def _wire(target: Target) -> str:
    settings: BridgeSettings = target.settings
    prefix = settings.stream.subject_prefix
    if settings.wire != "auto":
        return settings.wire
    last = await last_message(target.streams.link, settings.stream.name, f"{prefix}.>")
    return detect(*((None, prefix, None) if last is None else (last.subject, prefix, last.headers)))


async def _received_since(target: Target, date: str) -> list[str]:
    """Also what was received in the same second."""
    query = target.source.client.query(
        "Email",
        {"after": date},
        [{"property": "receivedAt", "isAscending": True}],
        properties=["id"],
        page=target.source.most,
        account=target.source.account,
    )
    return [record.id async for record in query]
