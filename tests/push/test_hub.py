"""The hub: who is told what and when, and whose stream ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from push.subscribers import Client, UnreliableBus, change, memory_app, running, states, user
from veredus.app import App, open_app
from veredus.config.settings import Config
from veredus.push.event import Event
from veredus.push.hub import Hub, NotAllowed
from waiting import until


@pytest.fixture(autouse=True)
def _short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at once a second is looked at more often."""
    monkeypatch.setattr("veredus.push.hub.INTERVAL_S", 0.1)


@pytest.fixture
async def app() -> AsyncIterator[App]:
    async with memory_app() as app, running(app.hub):
        yield app


async def test_the_first_change_is_told_at_once_and_further_ones_once_per_gap(app: App) -> None:
    identity, account = await user(app, "a@example.com")
    client = Client()
    await app.hub.subscribe(identity, None, client)
    began = asyncio.get_running_loop().time()
    last = 0
    while asyncio.get_running_loop().time() < began + 0.45:
        last = await change(app, account)
        if last and not client.events:
            await asyncio.sleep(0.01)
            assert len(client.events) == 1, "no delay for the first"
        await asyncio.sleep(0.002)
    await until(lambda: client.states.get(account, {}).get("Mailbox") == last)
    assert all(later - earlier >= 0.095 for earlier, later in zip(client.at, client.at[1:], strict=False))


async def test_types_that_were_not_asked_for_are_not_told(app: App) -> None:
    identity, account = await user(app, "a@example.com")
    boxes, emails = Client(), Client()
    await app.hub.subscribe(identity, frozenset({"Mailbox"}), boxes)
    await app.hub.subscribe(identity, frozenset({"Email"}), emails)
    await change(app, account)
    await until(lambda: bool(boxes.events))
    await asyncio.sleep(0.02)
    assert set(boxes.states[account]) == {"Mailbox"}
    assert emails.events == []


async def test_who_was_away_gets_what_changed_meanwhile_and_nothing_else(app: App) -> None:
    identity, account = await user(app, "a@example.com")
    before = max((await states(app, account)).values())
    state = await change(app, account)
    client, current = Client(), Client()
    (await app.hub.subscribe(identity, None, client, {account: before})).ready()
    (await app.hub.subscribe(identity, None, current, {account: state})).ready()
    assert client.states == {account: {"Mailbox": state}}
    assert current.events == []


async def test_a_subscriber_that_stalls_gets_one_merged_difference(app: App) -> None:
    identity, account = await user(app, "a@example.com")
    slow, fast = Client(), Client()
    subscription = await app.hub.subscribe(identity, None, slow)
    await app.hub.subscribe(identity, None, fast)
    slow.stalls = True
    for _ in range(3):
        last = await change(app, account)
        await asyncio.sleep(0.12)
    await until(lambda: fast.states.get(account, {}).get("Mailbox") == last)
    slow.stalls = False
    subscription.ready()
    assert len(slow.events) == 1
    assert slow.states == fast.states


async def test_a_subscriber_that_stalls_and_awakens_is_told_no_more_often_than_others(app: App) -> None:
    identity, account = await user(app, "a@example.com")
    client = Client()
    subscription = await app.hub.subscribe(identity, None, client)
    began, last = asyncio.get_running_loop().time(), 0
    while asyncio.get_running_loop().time() < began + 0.5:
        last = await change(app, account)
        subscription.ready()  # as a transport does whenever its client has taken what was sent
        assert client.events, "no delay for the first"
        await asyncio.sleep(0.007)
    await until(lambda: client.states[account]["Mailbox"] == last)
    assert all(later - earlier >= 0.095 for earlier, later in zip(client.at, client.at[1:], strict=False))


async def test_a_subscriber_with_a_fault_does_not_silence_the_others(app: App) -> None:
    class Broken(Client):
        def take(self, event: Event) -> bool:
            raise RuntimeError("a bug")

    identity, account = await user(app, "a@example.com")
    clients = [Client() for _ in range(4)]
    for client in (*clients[:2], Broken(), *clients[2:]):
        await app.hub.subscribe(identity, None, client)
    for n in (1, 2):
        await change(app, account)
        await until(lambda: [len(client.events) for client in clients] == [n] * 4)  # noqa: B023 - awaited


async def test_who_leaves_or_comes_while_many_are_told_is_treated_as_it_should_be(app: App) -> None:
    """They are told in several turns of the loop, and changes go on meanwhile."""
    identity, account = await user(app, "a@example.com")

    class Leaves(Client):
        def take(self, event: Event) -> bool:
            for one in leaving:
                one.close()
            return super().take(event)

    leaving = [await app.hub.subscribe(identity, None, Client()) for _ in range(100)]
    gone = [one.sink for one in leaving]
    clients = [Leaves() for _ in range(300)]
    for client in clients:
        await app.hub.subscribe(identity, None, client)
    before = max((await states(app, account)).values())
    await change(app, account)
    await until(lambda: any(client.events for client in clients))
    last = await change(app, account)
    late = Client()
    (await app.hub.subscribe(identity, None, late, {account: before})).ready()
    await until(lambda: all(one.states.get(account, {}).get("Mailbox") == last for one in (*clients, late)))
    assert all(len(one.events) <= 1 for one in gone if isinstance(one, Client))
    await until(lambda: app.hub.counts().subscribers == 301)


async def test_another_user_hears_nothing(app: App) -> None:
    (alice, account), (bob, _) = await user(app, "a@example.com"), await user(app, "b@example.com")
    mine, other = Client(), Client()
    await app.hub.subscribe(alice, None, mine)
    (await app.hub.subscribe(bob, None, other, {})).ready()
    await change(app, account)
    await until(lambda: account in mine.states)
    assert account not in other.states


async def test_a_grant_widens_and_its_end_ends_the_stream(app: App) -> None:
    (alice, hers), (bob, _) = await user(app, "a@example.com"), await user(app, "b@example.com")
    client, owner = Client(), Client()
    await app.hub.subscribe(bob, None, client)
    await app.hub.subscribe(alice, None, owner)
    await app.accounts.grant("b@example.com", hers, "read")
    await until(lambda: hers in client.states)
    last = await change(app, hers)
    await until(lambda: client.states[hers]["Mailbox"] == last)
    await app.accounts.grant("b@example.com", hers, None)
    await until(lambda: client.ended == "access")
    assert owner.ended is None


@pytest.mark.parametrize("what", ["token", "disabled", "removed", "password"])
async def test_credentials_that_are_no_longer_good_end_the_stream(app: App, what: str) -> None:
    identity, _ = await user(app, "a@example.com")
    (bob, _), spared = await user(app, "b@example.com"), Client()
    if what == "password":
        await app.accounts.set_password("a@example.com", "first")
        found = await app.authenticator.authenticate("Basic YUBleGFtcGxlLmNvbTpmaXJzdA==")
        assert found is not None
        identity = found
    client = Client()
    await app.hub.subscribe(identity, None, client)
    await app.hub.subscribe(bob, None, spared)
    match what:
        case "token":
            await app.accounts.revoke_token(identity.credential)
        case "disabled":
            await app.accounts.set_disabled("a@example.com", True)
        case "removed":
            await app.accounts.remove_user("a@example.com")
        case "password":
            await app.accounts.set_password("a@example.com", "second")
    await until(lambda: client.ended == "credentials")
    assert spared.ended is None
    app.directory.drop()
    with pytest.raises(NotAllowed):
        await app.hub.subscribe(identity, None, Client())


async def test_when_all_have_left_nothing_is_kept(app: App) -> None:
    identity, _ = await user(app, "a@example.com")
    subscriptions = [await app.hub.subscribe(identity, None, Client()) for _ in range(5)]
    assert app.hub.counts().subscribers == 5
    for subscription in subscriptions:
        subscription.close()
        subscription.close()
    await until(lambda: app.hub.counts().accounts == 0)
    assert app.hub.counts().subscribers == 0


async def test_a_subscriber_who_gives_up_does_not_block_those_after_it(app: App) -> None:
    """The first to ask for an account may leave before its states are read."""
    identity, account = await user(app, "a@example.com")
    hub = Hub(app.store, UnreliableBus(1), app.authenticator, app.directory, app.registry.states())
    async with running(hub):
        first = asyncio.create_task(hub.subscribe(identity, None, Client()))
        while hub.counts().accounts == 0:
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        client = Client()
        subscription = await asyncio.wait_for(hub.subscribe(identity, None, client, {}), 5)
        subscription.ready()
        assert client.states == {account: await states(app, account)}
    await hub.close()


async def test_closing_ends_every_stream(app: App) -> None:
    identity, _ = await user(app, "a@example.com")
    client = Client()
    await app.hub.subscribe(identity, None, client)
    await app.hub.close()
    assert client.ended == "shutdown"


async def test_changes_of_another_process_come_without_any_bus(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path)
    async with open_app(config, types=()) as here, open_app(config, types=()) as there, running(here.hub):
        identity, account = await user(there, "a@example.com")
        client = Client()
        await here.hub.subscribe(identity, None, client)
        await asyncio.sleep(0.05)
        last = await change(there, account)
        await until(lambda: client.states.get(account, {}).get("Mailbox") == last, 10)


async def test_a_position_that_only_another_process_knows_is_believed(tmp_path: Path) -> None:
    """A client that reconnects to a process that has not heard of the last change must not be set back."""
    config = Config(data_dir=tmp_path)
    async with open_app(config, types=()) as here, open_app(config, types=()) as there:
        identity, account = await user(there, "a@example.com")
        await here.hub.subscribe(identity, None, Client())
        state = await change(there, account)
        client = Client()
        client.states = {account: {"Mailbox": state}}
        (await here.hub.subscribe(identity, None, client, {account: state})).ready()
        assert client.events == []
