"""What an EventBus does between processes: two bus objects on one server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import nats
import pytest

from contract.buses import PREFIX, Receiver, hint, nats_server
from veredus.bus.nats import NatsBus, merged
from veredus.bus.nats_server import NatsServer
from veredus.ports import Hint
from waiting import until

pytestmark = pytest.mark.service


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path) as server:
        yield server


@pytest.fixture
async def linked(server: NatsServer) -> AsyncIterator[tuple[NatsBus, NatsBus]]:
    here, there = await NatsBus.open(server.url, PREFIX), await NatsBus.open(server.url, PREFIX)
    yield here, there
    await here.close()
    await there.close()


Linked = tuple[NatsBus, NatsBus]


async def test_hints_go_both_ways(linked: Linked) -> None:
    here, there = linked
    received = {here: Receiver(), there: Receiver()}
    for bus, receive in received.items():
        await bus.subscribe(receive).add("A")
    sent = Hint("A", 0, {"Email": 2, "Mailbox": 1})
    here.publish(sent)
    await until(lambda: received[there].hints == [sent])
    there.publish(hint("A", 3))
    await until(lambda: received[here].hints == [sent, hint("A", 3)])
    assert received[there].hints == [sent, hint("A", 3)]
    assert here.counts().received == there.counts().received == 1


async def test_only_accounts_that_were_added_are_carried(linked: Linked) -> None:
    here, there = linked
    receive = Receiver()
    subscription = there.subscribe(receive)
    await subscription.add("A")
    for account in ("B", "AA", "A", "B"):
        here.publish(hint(account, 1))
    await until(lambda: receive.of("A") == [1])
    subscription.discard("A")
    await subscription.add("end")
    here.publish(hint("A", 2))
    here.publish(hint("end", 1))
    await until(lambda: receive.of("end") == [1])
    assert receive.hints == [hint("A", 1), hint("end", 1)]
    assert there.counts().received == 2  # the others never left the server


async def test_nothing_published_elsewhere_after_add_is_missed(linked: Linked) -> None:
    here, there = linked
    receive = Receiver()
    subscription = there.subscribe(receive)

    async def join(account: str) -> None:
        await subscription.add(account)
        here.publish(hint(account, 1))

    await asyncio.gather(*(join(f"a{number}") for number in range(300)))
    await until(lambda: len(receive.hints) == 300)


async def test_under_load_hints_are_merged_and_the_last_state_arrives(linked: Linked) -> None:
    here, there = linked
    receive = Receiver()
    subscription = there.subscribe(receive)
    for account in "AB":
        await subscription.add(account)
    for modseq in range(1, 20_001):
        for account in "AB":
            here.publish(hint(account, modseq, "Email" if modseq % 2 else "Mailbox"))
        if modseq % 1000 == 0:
            await asyncio.sleep(0)
    await until(lambda: all(receive.of(account)[-1:] == [20_000] for account in "AB"))
    for account in "AB":
        known, states = 0, {}
        for told in receive.hints:
            if told.account == account:
                assert told.after == known, "merged hints follow on from one another"
                states |= told.states
                known = max(told.states.values())
        assert states == {"Email": 19_999, "Mailbox": 20_000}


def test_hints_with_another_between_them_are_no_step_from_the_first() -> None:
    """Between 2 and 5 another process has changed what these hints do not tell of."""
    both = merged(Hint("A", 1, {"Email": 2, "Thread": 1}), Hint("A", 4, {"Email": 5}))
    assert both == Hint("A", 4, {"Email": 5, "Thread": 1})
    assert merged(Hint("A", 1, {"Email": 2}), Hint("A", 2, {"Box": 3})).after == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1 no msgpack",
        msgspec.msgpack.encode((0, {})),
        msgspec.msgpack.encode((0, {"Email": "3"})),
        msgspec.msgpack.encode({"after": 0}),
    ],
)
async def test_what_is_no_hint_is_counted_and_ignored(
    server: NatsServer, linked: Linked, body: bytes
) -> None:
    _, there = linked
    receive = Receiver()
    await there.subscribe(receive).add("A")
    stranger = await nats.connect(server.url)
    await stranger.publish(f"{PREFIX}.changed.A", body)
    await stranger.flush()
    await until(lambda: there.counts().dropped == 1)
    assert receive.hints == []
    assert there.trouble() is None
    await stranger.close()


async def test_clusters_with_other_prefixes_do_not_hear_one_another(server: NatsServer) -> None:
    ours, theirs = await NatsBus.open(server.url, "ours"), await NatsBus.open(server.url, "theirs")
    receive = Receiver()
    subscription = theirs.subscribe(receive)
    await subscription.add("A")
    ours.publish(hint("A", 1))
    await ours.close()  # what was published is sent first
    await subscription.add("B")
    assert receive.hints == []
    await theirs.close()


async def test_closing_sends_what_was_published(linked: Linked) -> None:
    """A command that changes something ends at once."""
    here, there = linked
    receive = Receiver()
    await there.subscribe(receive).add("A")
    here.publish(hint("A", 1))
    await here.close()
    await until(lambda: receive.of("A") == [1])


async def test_a_wrong_token_is_told_and_never_written_down(server: NatsServer) -> None:
    port = urlsplit(server.url).port
    bus = await NatsBus.open(f"nats://not-the-token@127.0.0.1:{port}", PREFIX)
    assert "Authorization Violation" in str(bus.trouble())
    assert "not-the-token" not in str(bus.trouble())
    await bus.close()


async def test_a_password_is_not_sent_to_a_server_without_tls(server: NatsServer) -> None:
    bus = await NatsBus.open(server.url.replace("nats://", "tls://"), PREFIX)
    assert "the server does not offer TLS" in str(bus.trouble())
    await bus.close()
