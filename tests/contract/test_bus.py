"""What every EventBus does within one process. The specification of the port."""

import asyncio

from contract.buses import Receiver, bus, hint
from veredus.ports import EventBus, Hint
from waiting import until

__all__ = ["bus"]


async def test_a_hint_reaches_every_subscription_that_added_its_account_and_no_other(bus: EventBus) -> None:
    first, second, other, nobody = Receiver(), Receiver(), Receiver(), Receiver()
    subscriptions = [bus.subscribe(receive) for receive in (first, second, other, nobody)]
    await subscriptions[0].add("A")
    await subscriptions[0].add("B")
    await subscriptions[1].add("A")
    await subscriptions[2].add("C")
    sent = Hint("A", 4, {"Email": 6, "Mailbox": 5})
    bus.publish(sent)
    bus.publish(hint("B", 1))
    await until(lambda: len(first.hints) == 2 and len(second.hints) == 1)
    assert first.hints == [sent, hint("B", 1)]
    assert second.hints == [sent]
    assert other.hints == nobody.hints == []


async def test_nothing_published_after_add_is_missed(bus: EventBus) -> None:
    receive = Receiver()
    subscription = bus.subscribe(receive)

    async def join(account: str) -> None:
        await subscription.add(account)
        bus.publish(hint(account, 1))

    accounts = [f"a{number}" for number in range(300)]
    await asyncio.gather(*map(join, accounts))
    await until(lambda: len(receive.hints) == 300)
    assert sorted(hint.account for hint in receive.hints) == sorted(accounts)


async def test_an_add_that_is_given_up_harms_nobody(bus: EventBus) -> None:
    """A client may leave while its stream begins."""
    receive = Receiver()
    subscription = bus.subscribe(receive)
    for turn in range(30):
        task = asyncio.create_task(subscription.add(f"x{turn}"))
        for _ in range(turn % 6):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await subscription.add("A")
    bus.publish(hint("A", 1))
    await until(lambda: receive.of("A") == [1])
    lost = receive.lost
    await asyncio.sleep(0.05)
    assert receive.lost == lost


async def test_hints_of_an_account_come_in_the_order_they_were_published(bus: EventBus) -> None:
    receive = Receiver()
    subscription = bus.subscribe(receive)
    await subscription.add("A")
    await subscription.add("B")
    for modseq in range(1, 1001):
        bus.publish(hint("AB"[modseq % 2], modseq))
    await until(lambda: receive.of("A")[-1:] == [1000] and receive.of("B")[-1:] == [999])
    for account in "AB":
        assert receive.of(account) == sorted(set(receive.of(account)))


async def test_a_discarded_account_is_heard_of_no_more_and_may_be_added_again(bus: EventBus) -> None:
    leaves, stays = Receiver(), Receiver()
    leaving, staying = bus.subscribe(leaves), bus.subscribe(stays)
    for subscription in (leaving, staying):
        await subscription.add("A")
    leaving.discard("A")
    leaving.discard("A")
    leaving.discard("never added")
    bus.publish(hint("A", 1))
    await until(lambda: stays.of("A") == [1])
    assert leaves.hints == []
    await leaving.add("A")
    staying.discard("A")
    bus.publish(hint("A", 2))
    await until(lambda: leaves.of("A") == [2])
    assert stays.of("A") == [1]


async def test_adding_twice_tells_once(bus: EventBus) -> None:
    receive = Receiver()
    subscription = bus.subscribe(receive)
    await subscription.add("A")
    await subscription.add("A")
    await subscription.add("end")
    bus.publish(hint("A", 1))
    bus.publish(hint("end", 1))
    await until(lambda: receive.of("end") == [1])
    assert receive.of("A") == [1]
    subscription.discard("A")
    bus.publish(hint("A", 2))
    bus.publish(hint("end", 2))
    await until(lambda: receive.of("end") == [1, 2])
    assert receive.of("A") == [1]


async def test_a_receiver_that_fails_stops_nobody_else(bus: EventBus) -> None:
    def fail(hint: Hint | None) -> None:
        raise RuntimeError("a bug")

    before, after = Receiver(), Receiver()
    for receive in (before, fail, after):
        await bus.subscribe(receive).add("A")
    bus.publish(hint("A", 1))
    bus.publish(hint("A", 2))
    await until(lambda: before.of("A") == after.of("A") == [1, 2])


async def test_a_receiver_may_leave_and_join_while_it_is_told(bus: EventBus) -> None:
    receive = Receiver()

    def once(hint: Hint | None) -> None:
        receive(hint)
        subscription.discard("A")

    subscription, other = bus.subscribe(once), Receiver()
    await subscription.add("A")
    await bus.subscribe(other).add("A")
    bus.publish(hint("A", 1))
    bus.publish(hint("A", 2))
    await until(lambda: other.of("A") == [1, 2])
    assert receive.of("A") == [1]


async def test_a_closed_subscription_hears_nothing(bus: EventBus) -> None:
    closed, stays = Receiver(), Receiver()
    subscription = bus.subscribe(closed)
    for account in "AB":
        await subscription.add(account)
        await bus.subscribe(stays).add(account)
    await subscription.close()
    await subscription.close()
    for account in "AB":
        bus.publish(hint(account, 1))
    await until(lambda: len(stays.hints) == 2)
    assert closed.hints == []


async def test_a_closed_bus_does_nothing_and_complains_of_nothing(bus: EventBus) -> None:
    receive = Receiver()
    subscription = bus.subscribe(receive)
    await subscription.add("A")
    await bus.close()
    bus.publish(hint("A", 1))
    subscription.discard("A")
    await subscription.close()
    await bus.close()
    await asyncio.sleep(0.02)
    assert receive.hints == []
    assert not bus.counts().connected


async def test_counts_tell_what_was_published(bus: EventBus) -> None:
    before = bus.counts().published
    bus.publish(hint("A", 1))
    bus.publish(hint("B", 1))
    assert bus.counts().published == before + 2
    assert bus.counts().connected == (bus.trouble() is None)
