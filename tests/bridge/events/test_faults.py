"""A bridge that dies at the worst moments, and a server that has forgotten."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bridge.events.replay import Replay
from bridge.events.world import Stage
from veredus.bridge.cursor import KvCursor
from veredus.bridge.events.before import Before
from veredus.bridge.events.track import EventTrack
from veredus.bridge.nats.kv import KeyValue
from veredus.bridge.publishing import Outlet
from veredus.bridge.records import Records
from veredus.bridge.snapshot import Snapshot

pytestmark = pytest.mark.service
EMAILS = "jmap.event.*.email.>"


class Death:
    """The bridge gets stuck when it calls ``name`` for the ``nth`` time, and nothing it would do then is done."""

    def __init__(self, owner: type, name: str, nth: int = 1, when: Callable[..., bool] | None = None) -> None:
        self._owner, self._name, self._nth, self._when = owner, name, nth, when
        self.reached = asyncio.Event()

    def __enter__(self) -> "Death":
        self._original = original = getattr(self._owner, self._name)

        async def stuck(*args: Any, **kwargs: Any) -> Any:
            if self._when is None or self._when(*args):
                self._nth -= 1
                if self._nth <= 0:
                    self.reached.set()
                    await asyncio.Event().wait()
            return await original(*args, **kwargs)

        setattr(self._owner, self._name, stuck)
        return self

    def __exit__(self, *_: object) -> None:
        setattr(self._owner, self._name, self._original)


def _of_emails(self: Any, *_: Any) -> bool:
    return "email" in str(vars(self).get("_prefix") or vars(self).get("_key")).lower()


DEATHS = {
    "with a page kept and nothing published": (
        EventTrack,
        "_publish",
        1,
        lambda self, *_: self.type == "Email",
    ),
    "between two events": (Outlet, "send", 2, lambda self, *_: self.pipeline == "events"),
    "between acknowledgement and old values": (Before, "write", 1, _of_emails),
    "between old values and cursor": (KvCursor, "save", 1, _of_emails),
}


@pytest.mark.parametrize("where", DEATHS)
async def test_a_death_loses_no_difference_and_repeats_no_event(ground: Stage, where: str) -> None:
    ground.change(stream=_off(ground))
    ground.change_events(types=("Email",))
    alice = ground.world.alice
    first, second, third = await ground.world.add_emails(3)
    await ground.run_until_caught_up("Email")
    await alice.update("Email", first, **{"keywords/$seen": True})
    await alice.update("Email", second, **{"keywords/$flagged": True})
    await alice.set("Email", destroy=[third])
    new = await ground.world.add_emails(1)
    with Death(*DEATHS[where]) as death:
        async with ground.bridge():
            await asyncio.wait_for(death.reached.wait(), 20)
            await alice.update("Email", first, keywords={"$answered": True})
            new += await ground.world.add_emails(1)
    await ground.run_until_caught_up("Email")
    await alice.update("Email", second, keywords={})
    await ground.run_until_caught_up("Email")
    events = await ground.events(EMAILS)
    told = Counter((event["op"], event["id"]) for event in events)
    assert told["updated", first] == 2
    assert told["updated", second] == 2
    assert [told["created", id] for id in new] == [1, 1]
    assert told["destroyed", third] == 1
    assert await _as_at_the_server(ground, events)
    ids = Counter(message.headers["Nats-Msg-Id"] for message in await ground.messages())
    assert set(ids.values()) == {1}


async def test_what_the_server_cannot_calculate_is_told_and_read_anew(ground: Stage) -> None:
    alice = ground.world.alice
    gone, changed, _ = await ground.world.add_emails(3)
    box = (await alice.create("Mailbox", name="Soon gone"))["id"]
    await ground.run_until_caught_up("Email", "Mailbox")
    so_far = len(await ground.messages())
    await alice.set("Email", destroy=[gone])
    await alice.set("Mailbox", destroy=[box])
    await alice.update("Email", changed, **{"keywords/$seen": True})
    await ground.world.add_emails(1)
    await _forget(ground, "Email", "Mailbox")
    await ground.run_until_caught_up("Email", "Mailbox")
    for type, id in (("Email", gone), ("Mailbox", box)):
        events = [event for event in (await ground.events())[so_far:] if event["type"] == type]
        assert (events[0]["op"], events[0]["oldState"]) == ("resync", "forgotten")
        assert events[0]["newState"] == await alice.state(type)
        assert (events[1]["op"], events[1]["id"]) == ("destroyed", id)
        assert {event["op"] for event in events[2:]} == {"snapshot"}
    assert await _as_at_the_server(ground, await ground.events(EMAILS))
    # The differences go on from the snapshot.
    await alice.update("Email", changed, keywords={})
    await ground.run_until_caught_up("Email")
    last = (await ground.events(EMAILS))[-1]
    assert last["diff"] == {"keywords": {"added": [], "removed": ["$seen"]}}


async def test_a_snapshot_that_is_interrupted_goes_on_where_it_was(ground: Stage) -> None:
    ground.change(stream=_off(ground))
    ground.change_events(types=("Email",))
    old = await ground.world.add_emails(250)
    await ground.run_until_caught_up("Email")
    so_far = len(await ground.messages())
    await _forget(ground, "Email")
    with Death(Before, "write", 2, _of_emails) as death:
        async with ground.bridge():
            await asyncio.wait_for(death.reached.wait(), 20)
    new = await ground.world.add_emails(1)
    await ground.run_until_caught_up("Email")
    events = (await ground.events())[so_far:]
    assert [event["op"] for event in events] == ["resync", *["snapshot"] * 250, "created"]
    assert [event["id"] for event in events[1:]] == [*old, *new]


async def test_two_bridges_that_both_think_they_read_make_the_same_events(ground: Stage) -> None:
    """The lease is taken away from one that is stuck; when it wakes up, it must do no harm."""
    ground.change(stream=_off(ground))
    ground.change_events(types=("Email",))
    [id] = await ground.world.add_emails(1)
    await ground.run_until_caught_up("Email")
    await ground.world.alice.update("Email", id, **{"keywords/$seen": True})
    lease = f"lease.{ground.world.alice.account}"
    with Death(KvCursor, "save", 1, _of_emails) as death:
        async with ground.bridge():
            await asyncio.wait_for(death.reached.wait(), 20)
            await KeyValue(ground.link, "JMAP_BRIDGE").delete(lease)
    await ground.world.alice.update("Email", id, **{"keywords/$seen": None})
    await ground.run_until_caught_up("Email")
    events = await ground.events(EMAILS)
    assert [event["op"] for event in events] == ["snapshot", "updated", "updated"]
    assert await _as_at_the_server(ground, events)


async def _as_at_the_server(ground: Stage, events: list[dict[str, Any]]) -> bool:
    known = Replay(events).records["Email"]
    now = (await ground.world.alice.call("Email/get", ids=None, properties=["keywords", "mailboxIds"]))[
        "list"
    ]
    return {id: (email["keywords"], email["mailboxIds"]) for id, email in known.items()} == {
        email["id"]: (email["keywords"], email["mailboxIds"]) for email in now
    }


async def _forget(ground: Stage, *types: str) -> None:
    """As a server does that keeps changes for a month, and the bridge was away for two."""
    state = KeyValue(ground.link, "JMAP_BRIDGE")
    for type in types:
        await state.put(f"ckpt.{ground.world.alice.account}.{type}", b"forgotten")


def _off(ground: Stage) -> Any:
    return replace(ground.settings.stream, enabled=False)


async def test_what_comes_and_goes_during_a_snapshot_leaves_no_trace(
    ground: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the list of the snapshot, and in no list of changes: the server leaves it out of them."""
    ground.change(stream=_off(ground))
    ground.change_events(types=("Email",))
    alice = ground.world.alice
    [old] = await ground.world.add_emails(1)
    start, take = Snapshot._start, Records.get
    short_lived: list[str] = []

    async def started(*args: Any) -> Any:
        progress = await start(*args)
        short_lived.extend(await ground.world.add_emails(1))
        return progress

    async def looked(*args: Any) -> Any:
        """The last look before the snapshot is published."""
        found = await take(*args)
        await alice.call("Email/set", destroy=short_lived)
        return found

    monkeypatch.setattr(Snapshot, "_start", started)
    monkeypatch.setattr(Records, "get", looked)
    await ground.run_until_caught_up("Email")
    events = await ground.events()
    assert [(event["op"], event["id"]) for event in events] == [("snapshot", old)]


@pytest.mark.parametrize("op", ["snapshot", "created", "updated"])
async def test_one_record_that_the_server_fails_at_is_parked_and_no_other(
    ground: Stage, monkeypatch: pytest.MonkeyPatch, op: str
) -> None:
    ground.change(stream=_off(ground), dlq=replace(ground.settings.dlq, max_attempts=2))
    ground.change_events(types=("Email",))
    alice = ground.world.alice
    if op == "created":
        await ground.run_until_caught_up("Email")
    before, bad, after = await ground.world.add_emails(3)
    if op == "updated":
        await ground.run_until_caught_up("Email")
        for id in (before, bad, after):
            await alice.update("Email", id, **{"keywords/$seen": True})
    so_far = 0 if op == "snapshot" else len(await ground.messages())
    with monkeypatch.context() as patch:
        patch.setattr(ground.world.app.engine, "process", _failing_at(ground, bad))
        await ground.run_until_caught_up("Email")
    events = (await ground.events())[so_far:]
    assert [(event["op"], event["id"]) for event in events] == [(op, before), (op, after)]
    [letter] = await ground.messages("jmap.dlq.>", "JMAP_DLQ")
    parked = msgspec.json.decode(letter.data)
    assert (parked["id"], parked["op"], parked["errorType"]) == (bad, op, "serverFail")
    # The next difference is told from what the last event said.
    await alice.update("Email", bad, **{"keywords/$flagged": True})
    await ground.run_until_caught_up("Email")
    [*_, last] = await ground.events()
    expected = {"keywords": {"added": ["$flagged", "$seen"], "removed": []}} if op == "updated" else None
    assert (last["id"], last.get("diff")) == (bad, expected)


def _failing_at(ground: Stage, id: str) -> Any:
    """A server that answers serverFail to each Email/get that would give this one with its subject."""
    process = ground.world.app.engine.process

    async def failing(*args: Any, **kwargs: Any) -> bytes:
        answer = msgspec.json.decode(await process(*args, **kwargs))
        for response in answer["methodResponses"]:
            given = response[1].get("list", [])
            if response[0] == "Email/get" and any(one["id"] == id and "subject" in one for one in given):
                response[:2] = ["error", {"type": "serverFail"}]
        return msgspec.json.encode(answer)

    return failing
