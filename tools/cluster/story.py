"""What a cluster must do, done once: mail in at one node, out at another, and servers that die under it."""

import asyncio
import smtplib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from email.message import EmailMessage
from typing import TypeVar

from tools.cluster.cluster import Cluster
from veredus.client.client import Client
from veredus.client.errors import JMAPError
from veredus.client.push import Changed, Connected

ALL_S = 60.0
# As the issue asks: after SIGKILL of a node, and after a restart of the bus.
NODE_S, BUS_S = 2.0, 5.0


T = TypeVar("T")


class StoryFailed(Exception):
    """Says what did not come about."""


class Subscriber:
    """Who is told of changes at one address: the newest state of Email."""

    def __init__(self, name: str, client: Client) -> None:
        self.name, self._client = name, client
        self.state = ""
        self.connected, self._told = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        async with aclosing(self._client.push.signals(["Email"], ping_s=15)) as signals:
            async for signal in signals:
                if isinstance(signal, Connected):
                    self.connected.set()
                elif isinstance(signal, Changed):
                    for states in signal.changed.values():
                        self.state = states.get("Email", self.state)
                    self._told.set()

    async def knows(self, state: str) -> None:
        """Wait until it was told of this state."""
        while self.state != state:
            self._told.clear()
            await self._told.wait()


class Story:
    """``user`` must have an account."""

    def __init__(self, cluster: Cluster, user: str, password: str) -> None:
        self._cluster, self._user, self._password = cluster, user, password
        # Subjects of what the servers took.
        self._accepted: list[str] = []
        self._began = time.monotonic()

    async def tell(self) -> None:
        """All of it. Raises StoryFailed."""
        first, second, third = self._cluster.nodes
        async with AsyncExitStack() as stack:
            here = await stack.enter_async_context(self.client(self._cluster.proxy.url))
            at_second = await stack.enter_async_context(self.client(second.url))
            at_third = Subscriber("node 3", await stack.enter_async_context(self.client(third.url)))
            behind = Subscriber(
                "haproxy", await stack.enter_async_context(self.client(self._cluster.proxy.url))
            )
            subscribers = [at_third, behind]
            await stack.enter_async_context(_subscribed(subscribers))
            await self._passes_through(at_second, subscribers)
            await self._survives("node 1: kill -9", first.kill, here, subscribers, NODE_S)
            await self._survives("nats-server: restart", self._cluster.nats.restart, here, subscribers, BUS_S)
            if self._cluster.postgres is not None:
                await self._survives("PostgreSQL: kill -9, start", self._crash, here, subscribers, ALL_S)
            await first.start()
            at_first = await stack.enter_async_context(self.client(first.url))
            self._say("node 1", f"is back, and has all {await self._have_all(at_first)} messages")

    @asynccontextmanager
    async def client(self, url: str) -> AsyncIterator[Client]:
        """Of the user, at a node or at haproxy."""
        session = f"{url}/.well-known/jmap"
        async with Client.connect(session, basic=(self._user, self._password), timeout_s=10) as client:
            yield client

    async def _passes_through(self, reader: Client, subscribers: list[Subscriber]) -> None:
        """In at node 1, read at node 2, told at node 3."""
        await self._deliver(self._cluster.nodes[0].lmtp)
        self._say("node 1", f"took {self._accepted[-1]!r} by LMTP")
        self._say("node 2", f"has {await self._have_all(reader)} message for JMAP to read")
        await self._told(reader, subscribers, ALL_S)
        self._say("node 3", "has pushed the change")

    async def _survives(
        self,
        what: str,
        fault: Callable[[], Awaitable[None]],
        client: Client,
        subscribers: list[Subscriber],
        within_s: float,
    ) -> None:
        """After ``fault`` mail is taken, read and told in time, and none is missing. Raises StoryFailed."""
        await fault()
        began = time.monotonic()
        await self._deliver(self._cluster.proxy.lmtp)
        count = await self._have_all(client)
        await self._told(client, subscribers, within_s)
        seconds = time.monotonic() - began
        if seconds > within_s:
            raise StoryFailed(f"{what}: clients went on after {seconds:.1f} s, not within {within_s:g} s")
        self._say(what, f"clients went on after {seconds:.2f} s; all {count} messages are there")

    async def _crash(self) -> None:
        postgres = self._cluster.postgres
        assert postgres is not None
        postgres.kill()
        postgres.start()

    async def _deliver(self, port: int) -> None:
        """Until a server has taken it, as a mail server does."""
        mail = EmailMessage()
        subject = f"Mail {len(self._accepted) + 1}"
        mail["From"], mail["To"], mail["Subject"] = "bob@example.org", self._user, subject
        mail.set_content("At noon, by the milestone?\n")

        def send() -> None:
            with smtplib.LMTP("127.0.0.1", port, timeout=10) as lmtp:
                lmtp.send_message(mail)

        await _again(lambda: asyncio.to_thread(send), "no server takes mail")
        self._accepted.append(subject)

    async def _have_all(self, client: Client) -> int:
        """How many Emails there are, when what was taken is among them. Raises StoryFailed."""

        async def subjects() -> list[str]:
            ids = (await client.call("Email/query", {}))["ids"]
            found = await client.call("Email/get", {"ids": ids, "properties": ["subject"]})
            return [email["subject"] for email in found["list"]]

        found = await _again(subjects, "no server answers")
        missing = set(self._accepted) - set(found)
        if missing:
            raise StoryFailed(f"taken, and gone: {', '.join(sorted(missing))}")
        return len(found)

    async def _told(self, client: Client, subscribers: list[Subscriber], within_s: float) -> None:
        """Each knows the state of Email as it is now. Raises StoryFailed."""

        async def state() -> str:
            return str((await client.call("Email/get", {"ids": []}))["state"])

        now = await _again(state, "no server answers")
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                for each in subscribers:
                    await each.knows(now)
                return
        late = ", ".join(each.name for each in subscribers if each.state != now)
        raise StoryFailed(f"not told of a change within {within_s:g} s: {late}")

    def _say(self, where: str, text: str) -> None:
        print(f"  {time.monotonic() - self._began:6.2f} s  {where:27} {text}", flush=True)


@asynccontextmanager
async def _subscribed(subscribers: list[Subscriber]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each.run()) for each in subscribers]
    try:
        async with asyncio.timeout(ALL_S):
            for each in subscribers:
                await each.connected.wait()
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _again(attempt: Callable[[], Awaitable[T]], complaint: str) -> T:
    """Try until it succeeds. Raises StoryFailed."""
    error: Exception | None = None
    with suppress(TimeoutError):
        async with asyncio.timeout(ALL_S):
            while True:
                try:
                    return await attempt()
                except (OSError, smtplib.SMTPException, JMAPError) as failed:
                    error = failed
                await asyncio.sleep(0.02)
    raise StoryFailed(f"{complaint} after {ALL_S:.0f} s: {error}")
