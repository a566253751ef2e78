"""A new key of the server (RFC 9749 §5)."""

import asyncio

import pytest

from jmap import Jmap
from veredus.app import App
from veredus.push.web.vapid import Vapid

pytestmark = pytest.mark.rfc("9749", "5")


@pytest.mark.must
async def test_the_session_state_changes_with_the_key(app: App, jmap: Jmap) -> None:
    body, state = await app.engine.session(jmap.identity, "http://test")
    old = app.vapid.current[1].public
    assert old in body.decode()
    await app.vapid.rotate()
    app.engine.forget_sessions()
    body, new_state = await app.engine.session(jmap.identity, "http://test")
    assert new_state != state
    assert old not in body.decode()
    assert app.vapid.current[1].public in body.decode()
    assert (await jmap.request(["Core/echo", {}, "0"]))["sessionState"] == new_state


@pytest.mark.rfc("9749", "4")
@pytest.mark.must
async def test_the_old_key_is_kept_for_the_subscriptions_made_with_it(app: App) -> None:
    id, key = app.vapid.current
    await app.vapid.rotate()
    await app.vapid.rotate()
    kept = app.vapid.by_id(id)
    assert kept is not None
    assert kept.public == key.public != app.vapid.current[1].public


async def test_another_process_follows(app: App) -> None:
    """A second one on the same store: both have one key, and the one learns what the other did."""
    other = await Vapid.open(app.store, "system", app.clock)
    assert other.current[0] == app.vapid.current[0]
    assert not await other.refresh()
    stop, changed = asyncio.Event(), asyncio.Event()
    old, new = other.current[0], await app.vapid.rotate()
    following = asyncio.create_task(other.follow(stop, changed.set))
    await asyncio.wait_for(changed.wait(), 30)
    assert other.current[0] == new
    assert other.by_id(old) is not None
    stop.set()
    await following


async def test_two_processes_that_start_at_once_make_one_key(app: App) -> None:
    async with app.store.write("fresh") as tx:
        await tx.put("User", {"id": "nobody"})
    opened = await asyncio.gather(*(Vapid.open(app.store, "fresh", app.clock) for _ in range(5)))
    assert len({vapid.current[1].public for vapid in opened}) == 1


async def test_an_old_key_goes_when_no_subscription_uses_it_and_the_current_never(app: App) -> None:
    vapid = app.vapid
    first = vapid.current[0]
    assert await vapid.drop_unused() == []
    async with app.store.write("system") as tx:
        await tx.put("PushSubscription", {"id": "P1", "user": "alice@example.com", "vapid": first})
    second = await vapid.rotate()
    third = await vapid.rotate()
    assert await vapid.drop_unused() == [second]
    assert vapid.by_id(first) is not None
    async with app.store.write("system") as tx:
        await tx.delete("PushSubscription", "P1")
    assert await vapid.drop_unused() == [first]
    assert vapid.by_id(first) is None
    assert await vapid.drop_unused() == []
    assert vapid.current[0] == third
