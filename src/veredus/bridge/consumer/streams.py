"""``MailStream`` and ``EventStream``: the messages of a stream as mails and as events."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import product
from types import TracebackType
from typing import Generic, Literal, Self, TypeAlias, TypedDict, TypeVar, Unpack

from nats.aio.client import Client
from nats.aio.msg import Msg

from veredus.bridge.consumer.api import Api
from veredus.bridge.consumer.durable import Durable, deliver
from veredus.bridge.consumer.errors import NotOurs
from veredus.bridge.consumer.event import Event
from veredus.bridge.consumer.held import Held
from veredus.bridge.consumer.mail import Mail
from veredus.bridge.consumer.objects import Objects
from veredus.bridge.consumer.pull import Reading, replay

T = TypeVar("T", Mail, Event)
Since: TypeAlias = Literal["all", "new"] | datetime | timedelta | int
# The first server that lets a consumer have several subjects.
_MANY_FILTERS = (2, 10)


class Options(TypedDict, total=False):
    """The options of MailStream, which EventStream takes, too."""

    durable: str | None
    since: Since
    follow: bool
    accounts: Sequence[str]
    bucket: str
    prefetch: int
    in_order: bool
    ack_wait_s: float
    max_deliver: int
    dead_letter: str | None
    domain: str | None


class _Stream(Generic[T]):
    """Iterate over it, once; leave it by ``break``, by cancelling, or at the end of ``async with``."""

    _kind: type[T]

    def __init__(
        self,
        nc: Client,
        stream: str,
        *,
        durable: str | None = None,
        since: Since = "all",
        follow: bool = True,
        accounts: Sequence[str] = (),
        bucket: str = "email-parts",
        prefetch: int = 16,
        in_order: bool = False,
        ack_wait_s: float = 30.0,
        max_deliver: int = 5,
        dead_letter: str | None = None,
        domain: str | None = None,
    ) -> None:
        """``durable``: the name under which the server remembers what was acknowledged; several processes
        with one name share the work. None: read in order, nothing to acknowledge.

        ``since``: where to begin: ``all``, ``new``, a moment, so long ago, or a number in the stream; with
        ``durable`` it counts when the consumer is made. ``follow`` False ends at the end (not with
        ``durable``). ``accounts``: empty: all. ``in_order``: see docs/bridge.md. What failed
        ``max_deliver`` times goes to the subject ``dead_letter``; without one nothing is ever given up.
        """
        if durable is not None and not follow:
            raise ValueError("a durable consumer has no end: follow=False is for reading without one")
        if durable is None and dead_letter is not None:
            raise ValueError("dead letters need a durable consumer, which counts the attempts")
        self._api, self._stream, self._since, self._follow = Api(nc, domain), stream, since, follow
        self._objects = Objects(self._api, bucket)
        self._accounts = frozenset(accounts)
        self._durable, self._dead_letter = durable, dead_letter
        self._work = (prefetch, in_order, ack_wait_s, max_deliver)
        self._iterating: AsyncGenerator[T, None] | None = None
        self._coming: asyncio.Task[T | None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[T]:
        if self._iterating is None:
            self._iterating = self._received()
        return self._iterating

    async def next(self, timeout_s: float) -> T | None:
        """The next one, or None when none has come in time: for work in batches, instead of ``async for``."""
        if self._coming is None:
            # A task of its own: to cut the generator short would end it.
            self._coming = asyncio.create_task(self._next())
        done, _ = await asyncio.wait([self._coming], timeout=timeout_s)
        if not done:
            return None
        coming, self._coming = self._coming, None
        return coming.result()

    async def _next(self) -> T | None:
        return await anext(aiter(self), None)

    async def close(self) -> None:
        """What came and was not looked at is given back at once."""
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.wait([self._coming])
        if self._iterating is not None:
            await self._iterating.aclose()

    async def _received(self) -> AsyncGenerator[T, None]:
        config = (await self._api.call(f"STREAM.INFO.{self._stream}"))["config"]
        wanted = self._subjects([str(subject) for subject in config.get("subjects") or ()])
        version = self._api.nc.connected_server_version
        can_filter = len(wanted) <= 1 or (version.major, version.minor) >= _MANY_FILTERS
        # Else all come, and what is not wanted is passed over.
        subjects = wanted if can_filter else ()
        async with aclosing(self._held(subjects, wanted)) as messages:
            async for held in messages:
                received = await self._made(held)
                del held
                if received is not None:
                    yield received
                    del received

    async def _made(self, held: Held) -> T | None:
        """Raises NotOurs where there are no dead letters to put it among."""
        try:
            received = self._kind(held, self._objects)
            await received.complete()
        except NotOurs as error:
            if self._dead_letter is None:
                raise
            await held.reject(str(error))
            return None
        return received

    async def _held(self, subjects: tuple[str, ...], wanted: tuple[str, ...]) -> AsyncGenerator[Held, None]:
        start = _start(self._since)
        if self._durable is None:
            reading = Reading(self._stream, subjects, start, self._follow)
            async with aclosing(replay(self._api, reading)) as messages:
                async for message in messages:
                    if self._wants(message):
                        yield Held(self._api.nc, message, settles=False, dead_letter=None, most=0)
            return
        prefetch, in_order, ack_wait_s, max_deliver = self._work
        durable = Durable(
            stream=self._stream,
            name=self._durable,
            subjects=subjects,
            wanted=wanted,
            start=start,
            ack_wait_s=ack_wait_s,
            prefetch=prefetch,
            in_order=in_order,
            max_deliver=max_deliver,
            dead_letter=self._dead_letter,
        )
        async with aclosing(deliver(self._api, durable, self._wants)) as held:
            async for one in held:
                yield one
                del one

    def _subjects(self, of_stream: list[str]) -> tuple[str, ...]:
        raise NotImplementedError

    def _wants(self, message: Msg) -> bool:
        account = (message.headers or {}).get("Jmap-Account-Id", "")
        return not self._accounts or account in self._accounts


class MailStream(_Stream[Mail]):
    """Created Emails: ``async for mail in MailStream(nc, "JMAP_EMAILS", durable="sorter")``."""

    _kind = Mail

    def _subjects(self, of_stream: list[str]) -> tuple[str, ...]:
        """Of one account: its own subject, and in the oldest generation one for each Email below it."""
        prefixes = [subject.removesuffix(".>") for subject in of_stream if subject.endswith(".>")]
        below = product(prefixes, sorted(self._accounts), ("", ".>"))
        return tuple(f"{prefix}.{account}{rest}" for prefix, account, rest in below)


class EventStream(_Stream[Event]):
    """Changes: ``EventStream(nc, "JMAP_EVENTS", durable="mirror", types=["Email"], ops=["updated"])``."""

    _kind = Event

    def __init__(
        self,
        nc: Client,
        stream: str = "JMAP_EVENTS",
        *,
        types: Sequence[str] = (),
        ops: Sequence[str] = (),
        **options: Unpack[Options],
    ) -> None:
        """``types`` and ``ops``: empty: all. The other options are those of MailStream."""
        super().__init__(nc, stream, **options)
        self._types, self._ops = frozenset(type.lower() for type in types), frozenset(ops)

    def _subjects(self, of_stream: list[str]) -> tuple[str, ...]:
        choices = (self._accounts, self._types, self._ops)
        if not any(choices):
            return ()
        prefixes = [subject.removesuffix(".>") for subject in of_stream if subject.endswith(".>")]
        tokens = product(prefixes, *(sorted(choice) or ["*"] for choice in choices))
        return tuple(".".join(one) for one in tokens)

    def _wants(self, message: Msg) -> bool:
        type, op = message.subject.split(".")[-2:]
        return (
            super()._wants(message)
            and (not self._types or type in self._types)
            and (not self._ops or op in self._ops)
        )


def _start(since: Since) -> dict[str, object]:
    """The deliver policy of JetStream."""
    if since in ("all", "new"):
        return {"deliver_policy": since}
    if isinstance(since, int):
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": since}
    moment = datetime.now(UTC) - since if isinstance(since, timedelta) else since
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ValueError('since: "all", "new", an aware datetime, a timedelta or a number in the stream')
    return {"deliver_policy": "by_start_time", "opt_start_time": moment.astimezone(UTC).isoformat()}
