"""Connections that are lost, and servers that talk nonsense: push goes on."""

import asyncio

import pytest
from websockets.frames import Opcode

from client.push.listening import listening, to
from client.push.peer import Exchange, Peer, change, pushes, refusing, silent, state, states
from veredus.client.errors import ProtocolError, TransportError
from veredus.client.push import Changed, Connected, Lost, PushPosition
from veredus.client.session import Session


async def test_half_an_event_is_none_and_the_next_connection_resumes(peer: Peer) -> None:
    async def cut(x: Exchange) -> None:
        await x.chunks(state("1", "i1"), state("2", "i2")[:-1])

    peer.eventsource = [cut, states]
    async with listening(to(peer), resume=PushPosition("p0", "i0")) as listener:
        await listener.expect(Connected)
        told = await listener.expect(Changed)
        assert told == Changed({"a": {"Email": "1"}}, PushPosition("p0", "i1"))
        assert "cut" in str((await listener.expect(Lost)).error)
        await listener.expect(Connected)
        await listener.expect(Changed)
    assert [x.headers.get("last-event-id") for x in peer.exchanges] == ["i0", "i1"]


async def test_a_websocket_that_is_cut_is_opened_again_where_it_stood(peer: Peer) -> None:
    enables = []

    async def cut(x: Exchange) -> None:
        enables.append(await x.pushing())
        await x.say(change("1", f"p{len(enables)}"))
        await x.write(b"\x81\x20{")

    peer.websocket = [cut, cut, silent]
    async with listening(to(peer), types=["Email"], resume=PushPosition("p0")) as listener:
        for n in (1, 2):
            await listener.expect(Connected)
            assert (await listener.expect(Changed)).position == PushPosition(f"p{n}")
            await listener.expect(Lost)
    assert [(e["@type"], e["dataTypes"], e["pushState"]) for e in enables] == [
        ("WebSocketPushEnable", ["Email"], "p0"),
        ("WebSocketPushEnable", ["Email"], "p1"),
    ]


@pytest.mark.parametrize(
    ("opcode", "data", "said"),
    [
        (Opcode.TEXT, b'{"@type": "StateChange", "chan', "not RFC 8887"),
        (Opcode.TEXT, b'{"@type": "StateChange", "changed": {"a": 1}}', "not RFC 8887"),
        (Opcode.TEXT, b'{"@type": "StateChange"}', "without changed"),
        (Opcode.TEXT, b'{"@type": "\xff"}', "not RFC 8887"),
        (Opcode.BINARY, b"{}", "binary"),
        (Opcode.CLOSE, b"\x03\xf0credentials", "1008: credentials"),
        (Opcode.TEXT, b"x" * 2**21, "failed"),
    ],
    ids=["cut", "shape", "no changed", "utf-8", "binary", "close", "huge"],
)
async def test_what_is_no_message_ends_the_websocket_and_is_no_end(
    peer: Peer, opcode: Opcode, data: bytes, said: str
) -> None:
    async def odd(x: Exchange) -> None:
        await x.pushing()
        await x.frame(opcode, data)
        await x.gone()

    peer.websocket = [odd, pushes]
    async with listening(to(peer)) as listener:
        await listener.expect(Connected)
        assert said in str((await listener.expect(Lost)).error)
        await listener.expect(Connected)
        await listener.expect(Changed)


@pytest.mark.parametrize(
    "data",
    [b"event: state\ndata: {\n\n", b"event: ping\ndata: []\n\n", b": " + b"x" * 2**21, b"data: \n" * 2**21],
    ids=["json", "shape", "long line", "long event"],
)
async def test_what_is_no_event_ends_the_event_stream_and_is_no_end(peer: Peer, data: bytes) -> None:
    async def odd(x: Exchange) -> None:
        await x.stream()
        await x.write(data)
        await x.gone()

    peer.eventsource = [odd, states]
    async with listening(to(peer)) as listener:
        await listener.expect(Connected)
        assert isinstance((await listener.expect(Lost)).error, ProtocolError)
        await listener.expect(Connected)
        await listener.expect(Changed)


async def test_other_messages_and_events_are_no_changes(peer: Peer) -> None:
    async def chatty(x: Exchange) -> None:
        await x.pushing()
        await x.say({"@type": "Response", "requestId": "other", "methodResponses": []})
        await x.say({"@type": "Unheard-Of", "changed": None})
        await x.say(change("2", "p2"))
        await x.gone()

    peer.websocket = [chatty]
    async with listening(to(peer)) as listener:
        await listener.expect(Connected)
        assert (await listener.expect(Changed)).changed == {"a": {"Email": "2"}}


async def test_a_server_that_cannot_be_reached_is_named(peer: Peer) -> None:
    peer.websocket, peer.eventsource = [pushes], [states]
    session = peer.session()
    peer.close()

    async def again() -> Session:
        return session

    async with listening(again) as listener:
        lost = await listener.expect(Lost)
        assert str(lost.error) == f"127.0.0.1:{peer.port}: cannot connect: Connection refused"
        assert listener.push.refusals.keys() == {"websocket", "eventsource"}


async def test_a_session_that_cannot_be_had_is_asked_for_again(peer: Peer) -> None:
    peer.eventsource = [states]
    asked = 0

    async def session() -> Session:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise TransportError("mail.example", "HTTP 500", status=500)
        if asked == 2:
            await asyncio.sleep(60)
        return peer.session()

    async with listening(session, timing={"connect_s": 0.1}) as listener:
        assert "mail.example: HTTP 500" in str((await listener.expect(Lost)).error)
        assert "no answer within 0.1 s" in str((await listener.expect(Lost)).error)
        await listener.expect(Connected)


async def test_an_id_of_any_characters_is_handed_back(peer: Peer) -> None:
    async def odd(x: Exchange) -> None:
        await x.stream()
        await x.write(state("1", "é ☃:"))

    async def long(x: Exchange) -> None:
        await x.stream()
        await x.write(state("2", "x" * 9000))

    peer.eventsource = [odd, long, states]
    async with listening(to(peer)) as listener:
        for position in ("é ☃:", "é ☃:", "i1"):
            assert (await listener.until(Changed)).position.last_event_id == position
    assert [x.headers.get("last-event-id") for x in peer.exchanges] == [None, "é ☃:", "é ☃:"]


@pytest.mark.parametrize(
    "fields",
    [
        ["Retry-After: 30"],
        ["Date: Wed, 01 Jan 2020 00:00:00 GMT", "Retry-After: Wed, 01 Jan 2020 00:00:30 GMT"],
    ],
    ids=["seconds", "date"],
)
async def test_the_server_says_when_to_come_again(peer: Peer, fields: list[str]) -> None:
    peer.eventsource = [refusing("503 Service Unavailable", *fields)]
    async with listening(to(peer)) as listener:
        assert 30 <= (await listener.expect(Lost)).retry_in_s <= 31


async def test_the_retry_of_an_event_stream_counts_when_the_server_ends_it(peer: Peer) -> None:
    async def ends(x: Exchange) -> None:
        await x.stream()
        await x.write(b"retry: 5000\n\n")

    peer.eventsource = [ends]
    async with listening(to(peer)) as listener:
        await listener.expect(Connected)
        assert 5 <= (await listener.expect(Lost)).retry_in_s <= 6


async def test_the_back_off_begins_again_with_the_first_event(peer: Peer) -> None:
    async def short(x: Exchange) -> None:
        await x.stream()
        await x.write(state("1"))

    peer.eventsource = [refusing("500 Internal Server Error")] * 10 + [short]
    first_s = 0.0005
    async with listening(to(peer), timing={"first_backoff_s": first_s, "longest_backoff_s": 1.0}) as listener:
        waits = [(await listener.expect(Lost)).retry_in_s for _ in range(10)]
        assert max(waits) > first_s
        for _ in range(4):
            assert (await listener.until(Lost)).retry_in_s <= first_s


async def test_the_end_after_a_state_that_was_asked_for_is_no_loss(peer: Peer) -> None:
    async def one(x: Exchange) -> None:
        assert "closeafter=state" in x.target
        await x.stream()
        await x.write(state("1", "i1"))

    async def none(x: Exchange) -> None:
        await x.stream()

    peer.eventsource = [one, one, none]
    async with listening(to(peer), closeafter="state") as listener:
        for _ in range(2):
            await listener.until(Changed)
        await listener.until(Lost)
        assert peer.count("/sse") == 3
        assert sum(isinstance(signal, Lost) for signal in listener.seen) == 1
