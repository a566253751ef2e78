"""Silence is noticed, and is never all that a caller gets."""

import asyncio
from typing import Any

import pytest

from client.push.listening import listening, to
from client.push.peer import PING, Exchange, Peer, pushes, refusing, silent, state, states
from veredus.client.push import Changed, Connected, Lost, Poll


async def test_an_event_stream_that_opens_and_is_silent_is_dead(peer: Peer) -> None:
    async def half_open(x: Exchange) -> None:
        await x.stream()
        await x.gone()

    peer.eventsource = [half_open, states]
    async with listening(to(peer), ping_s=0.1) as listener:
        await listener.expect(Connected)
        lost = await listener.expect(Lost)
        assert "no octet for 0.25 s" in str(lost.error)
        await listener.until(Connected)
        await listener.expect(Changed)


async def test_an_event_stream_whose_head_does_not_come_is_dead(peer: Peer) -> None:
    peer.eventsource = [silent, states]
    async with listening(to(peer), ping_s=0.1) as listener:
        assert "in time" in str((await listener.expect(Lost)).error)
        await listener.expect(Connected)


async def test_a_websocket_that_falls_silent_is_dead(peer: Peer) -> None:
    async def falls_silent(x: Exchange) -> None:
        await x.pushing()
        await x.gone()  # reads the pings, and answers none

    peer.websocket = [falls_silent, pushes]
    async with listening(to(peer), ping_s=0.1) as listener:
        await listener.expect(Connected)
        assert "a ping was not answered" in str((await listener.expect(Lost)).error)
        await listener.expect(Connected)
        await listener.expect(Changed)


@pytest.mark.parametrize(
    ("interval", "silence", "limit"),
    [(b"0.1", 2.5, "0.25"), (b"300000", 0.0005, "0.15"), (b"1000000000", 0.0002, "0.18")],
    ids=["shorter", "in milliseconds, as Stalwart does", "absurd"],
)
async def test_the_interval_that_is_granted_counts_and_not_the_one_asked_for(
    peer: Peer, interval: bytes, silence: float, limit: str
) -> None:
    async def grants(x: Exchange) -> None:
        await x.stream()
        await x.write(PING % interval)
        await x.gone()

    peer.eventsource = [grants]
    async with listening(to(peer), ping_s=100, timing={"silence": silence}) as listener:
        while "no octet" not in str(error := (await listener.until(Lost)).error):
            pass
        assert f"no octet for {limit} s" in str(error)
    assert "ping=100" in peer.exchanges[0].target


async def test_a_longer_interval_than_was_asked_for_is_waited_for(peer: Peer) -> None:
    async def slow(x: Exchange) -> None:
        await x.stream()
        await x.write(PING % b"20")
        await asyncio.sleep(0.5)
        await x.write(state("1"))
        await x.gone()

    peer.eventsource = [slow]
    async with listening(to(peer), ping_s=0.1) as listener:
        await listener.expect(Connected)
        await listener.expect(Changed)


@pytest.mark.parametrize("transport", ["websocket", "eventsource"])
async def test_under_push_the_caller_is_told_to_look_all_the_same(peer: Peer, transport: Any) -> None:
    async def quiet(x: Exchange) -> None:
        await (x.pushing() if transport == "websocket" else x.stream())
        await x.gone()

    peer.websocket = peer.eventsource = [quiet]
    async with listening(to(peer), transport=transport, poll_s=0.1) as listener:
        await listener.expect(Connected)
        await listener.expect(Poll)
        await listener.expect(Poll)
        assert listener.push.transport == transport


async def test_while_nothing_can_be_reached_the_caller_is_told_to_look(peer: Peer) -> None:
    peer.eventsource = [refusing("503 Service Unavailable", "Retry-After: 1000")]
    async with listening(to(peer), timing={"unpushed_poll_s": 0.1}) as listener:
        assert (await listener.expect(Lost)).retry_in_s >= 1000
        await listener.expect(Poll)
        await listener.expect(Poll)
        assert not listener.push.alive
