"""Web push of several processes: one of them pushes, by a lease, and another takes over (ADR 0021)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from veredus.app import App
from veredus.leases import hold_if_free
from veredus.ports import Lease
from veredus.push.web.pusher import LEASE
from waiting import until
from web_push import Client, PushService, progress, push_app, pushing, quicken


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch)


class Node:
    """A process that pushes until it is told to stop, or dies."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with pushing(self.app):
            await self._stop.wait()

    @property
    def pushes(self) -> bool:
        return self.app.web_push.counts().subscriptions > 0

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.gather(self._task, return_exceptions=True)

    async def die(self) -> None:
        """Without storing anything more, and without a word to the others but the end of its lease."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[list[Node]]:
    """Two on one store."""
    async with AsyncExitStack() as stack:
        apps = [await stack.enter_async_context(push_app("sqlite", tmp_path)) for _ in range(2)]
        nodes = [Node(app) for app in apps]
        for node in nodes:
            stack.push_async_callback(node.stop)
        await until(lambda: all(n.app.web_push.pusher and n.app.web_push.pusher._state == 0 for n in nodes))
        yield nodes


async def sorted_out(nodes: list[Node]) -> tuple[Node, Node]:
    """The one that pushes, and the other."""
    await until(lambda: any(node.pushes for node in nodes))
    [pushes] = [node for node in nodes if node.pushes]
    return pushes, nodes[1 - nodes.index(pushes)]


async def test_one_pushes_and_another_takes_over(nodes: list[Node], service: PushService) -> None:
    client = await Client.of(nodes[0].app)
    await client.subscribe(service)
    await client.mailboxes("One")
    await service.wait("/a", 2)
    first, second = await sorted_out(nodes)
    await asyncio.sleep(0.5)
    assert len(service.got) == 2
    assert not second.pushes
    await first.stop()
    await client.mailboxes("Two")
    await service.wait("/a", 3)
    assert second.pushes
    await asyncio.sleep(0.5)
    assert len(service.got) == 3


async def test_what_a_node_had_not_stored_when_it_died_is_told_by_the_next(
    nodes: list[Node], service: PushService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second knew that there was no subscription; it must not take this one for new."""
    client = await Client.of(nodes[0].app)
    for node in nodes:
        assert node.app.web_push.pusher is not None
        monkeypatch.setattr(node.app.web_push.pusher, "_save", _nothing)
    id = await client.register(service.url + "/a")
    code = (await service.wait("/a")).object["verificationCode"]
    first, second = await sorted_out(nodes)
    await client.mailboxes("One")
    await first.die()
    await client.verify(id, code)
    await until(lambda: second.pushes)
    told = (await service.wait("/a", 2)).object
    assert "Mailbox" in told["changed"][client.account]


async def _nothing(lease: Lease) -> None:
    return


async def test_who_lost_the_lease_stores_nothing_and_stops(nodes: list[Node], service: PushService) -> None:
    client = await Client.of(nodes[0].app)
    await client.subscribe(service)
    first, second = await sorted_out(nodes)
    await until(lambda: progress(first.app, "attempted"))
    # As if it had slept: its lease has run out, and somebody has it who is no pusher.
    first.app.store._writer._db.run("UPDATE lease SET holder = 'thief', token = token + 1")  # type: ignore[attr-defined]
    stored = await progress(first.app, "position")
    await client.mailboxes("One")
    # By the first thing it would store, long before it would renew.
    await until(lambda: not first.pushes)
    assert not second.pushes
    assert await progress(second.app, "position") == stored
    await first.app.store.release(Lease(LEASE, "thief", await _token(first.app)))
    await until(lambda: first.pushes or second.pushes)
    await client.mailboxes("Two")
    await until(lambda: _told(second.app, stored))


async def _token(app: App) -> int:
    return app.store._writer._db.number("SELECT token FROM lease WHERE name = ?", (LEASE,))  # type: ignore[attr-defined,no-any-return]


async def _told(app: App, before: object) -> bool:
    return await progress(app, "position") != before


async def test_without_a_subscription_nobody_keeps_the_lease(
    nodes: list[Node], service: PushService, tmp_path: Path
) -> None:
    """Keeping it would write every few seconds."""
    app = nodes[0].app
    client = await Client.of(app)
    wal = tmp_path / "veredus.db-wal"
    before = wal.stat().st_mtime_ns
    await asyncio.sleep(1)
    assert wal.stat().st_mtime_ns == before
    id = await client.subscribe(service)
    await sorted_out(nodes)
    async with hold_if_free(app.store, LEASE) as lease:
        assert lease is None
    await client.set("PushSubscription", destroy=[id])

    async def is_free() -> bool:
        async with hold_if_free(app.store, LEASE) as lease:
            return lease is not None

    await until(is_free)
    # And the next one is new, not told of what was before.
    await client.subscribe(service, "/b")
    await asyncio.sleep(0.5)
    assert len(service.at("/b")) == 1
    await client.mailboxes("One")
    await service.wait("/b", 2)
