"""Connections are kept and used again; round trips are saved (RFC 2920)."""

import asyncio

import pytest

from sending.peer import CLOSE, DROP, EXTENSIONS, on, peer
from sending.relays import parcel, relaying
from veredus.ports import Unreachable

HOST = "127.0.0.1"
ANN, BOB = "ann@example.org", "bob@example.org"


async def test_one_connection_serves_many_messages_in_two_round_trips_each() -> None:
    async with peer() as smtp, relaying(smtp.url) as relay:
        await relay.send(HOST, parcel())
        before = smtp.reads
        for _ in range(50):
            await relay.send(HOST, parcel(ANN, BOB))
        assert (smtp.connections, smtp.reads - before) == (1, 100)
    assert smtp.commands[-1] == "QUIT"
    assert len(smtp.messages) == 51


async def test_messages_at_the_same_time_have_their_own_connections() -> None:
    async with peer() as smtp, relaying(smtp.url, connections=3) as relay:
        for _ in range(2):
            fates = await asyncio.gather(
                *(relay.send(HOST, parcel(f"a{it}@example.org")) for it in range(10))
            )
            assert {fate.kind for one in fates for fate in one.values()} == {"relayed"}
            assert sum(it == "QUIT" for it in smtp.commands) <= smtp.connections - 3
        # Of the first ten three were kept, so that seven more were made.
        assert smtp.connections == 17
    assert sorted(it.recipients[0] for it in smtp.messages) == sorted(
        [f"a{it}@example.org" for it in range(10)] * 2
    )


@pytest.mark.parametrize("extensions", [EXTENSIONS, ()], ids=["pipelining", "plain"])
@pytest.mark.parametrize("moment", ["MAIL", "RCPT", "DATA"])
async def test_a_kept_connection_that_is_broken_is_replaced(moment: str, extensions: tuple[str, ...]) -> None:
    for action in (DROP, CLOSE, "421 4.4.2 idle for too long", b"\xff\r\n"):
        rules = [on(moment, action, connection=1, message=2)]
        async with peer(*rules, extensions=extensions) as smtp, relaying(smtp.url) as relay:
            for recipient in (ANN, BOB):
                assert (await relay.send(HOST, parcel(recipient)))[recipient].kind == "relayed"
        assert (smtp.connections, [it.recipients for it in smtp.messages]) == (2, [[ANN], [BOB]])


async def test_a_kept_connection_that_the_host_ended_is_not_used() -> None:
    farewell = on("end", b"250 2.0.0 ok\r\n421 4.3.2 closing\r\n", connection=1)
    async with peer(farewell) as smtp, relaying(smtp.url) as relay:
        for recipient in (ANN, BOB):
            assert (await relay.send(HOST, parcel(recipient)))[recipient].kind == "relayed"
    assert smtp.connections == 2


async def test_a_connection_that_nobody_needs_is_ended_soon() -> None:
    async with peer() as smtp, relaying(smtp.url, idle_s=0.05) as relay:
        await relay.send(HOST, parcel())
        async with asyncio.timeout(10):
            await smtp.seen("QUIT")
        await relay.send(HOST, parcel())
    assert smtp.connections == 2


async def test_after_a_transaction_that_nobody_accepted_the_next_one_starts_anew() -> None:
    for extensions in (EXTENSIONS, ()):
        refused = [on("RCPT", "550 5.1.1 who?", contains="bob")]
        async with peer(*refused, extensions=extensions) as smtp, relaying(smtp.url) as relay:
            assert (await relay.send(HOST, parcel(BOB, sender="other@veredus.example")))[BOB].kind == "failed"
            assert (await relay.send(HOST, parcel(ANN)))[ANN].kind == "relayed"
        assert smtp.connections == 1
        verbs = [it[:4] for it in smtp.commands]
        assert verbs.index("RSET") == len(verbs) - 1 - verbs[::-1].index("MAIL") - 1
        assert (smtp.messages[0].sender, smtp.messages[0].recipients) == ("me@veredus.example", [ANN])


async def test_a_host_that_takes_data_for_nobody_gets_no_message() -> None:
    """With PIPELINING DATA is sent before we know that nobody was accepted (RFC 2920 §3.1)."""
    rules = [on("RCPT", "550 5.1.1 who?", contains="bob"), on("DATA", "354 go on", times=1)]
    async with peer(*rules) as smtp, relaying(smtp.url) as relay:
        assert (await relay.send(HOST, parcel(BOB)))[BOB].kind == "failed"
        assert (await relay.send(HOST, parcel(ANN)))[ANN].kind == "relayed"
    assert [it.recipients for it in smtp.messages if it.recipients] == [[ANN]]
    assert all(it.data in (b"", b"\r\n") for it in smtp.messages if not it.recipients)


async def test_a_closed_relay_keeps_nothing() -> None:
    async with peer() as smtp, relaying(smtp.url) as relay:
        await relay.close()
        assert (await relay.send(HOST, parcel()))[ANN].kind == "relayed"
        async with asyncio.timeout(10):
            await smtp.seen("QUIT")


async def test_a_host_that_went_away_between_two_messages_is_unreachable() -> None:
    async with peer() as smtp, relaying(smtp.url) as relay:
        await relay.send(HOST, parcel())
        smtp.rules = [on("MAIL", DROP), on("connect", "421 going down")]
        with pytest.raises(Unreachable, match="421 going down"):
            await relay.send(HOST, parcel())
