"""Which transport is used: the best that works."""

from typing import Any

import pytest

from client.push.listening import listening, to
from client.push.peer import Exchange, Peer, pushes, refusing, silent, states
from veredus.client.credentials import Bearer
from veredus.client.errors import NotSupported
from veredus.client.push import Changed, Connected, Lost, Poll, PushPosition


async def test_the_websocket_is_the_first_choice(peer: Peer) -> None:
    peer.websocket, peer.eventsource = [pushes], [states]
    async with listening(to(peer), types=["Mailbox", "Email"]) as listener:
        assert (await listener.expect(Connected)).transport == "websocket"
        assert listener.push.transport == "websocket"
        told = await listener.expect(Changed)
        assert told == Changed({"a": {"Email": "1"}}, PushPosition(push_state="p1"))
    assert peer.count("/sse") == 0


@pytest.mark.parametrize(
    "script",
    [
        refusing("404 Not Found"),
        refusing("426 Upgrade Required"),
        refusing("403 Forbidden"),
        silent,
        refusing("503 Service Unavailable", "Retry-After: 100"),
        lambda x: x.upgrade("mqtt"),
        states,
    ],
    ids=["404", "426", "403", "silent", "503", "no jmap", "no upgrade"],
)
async def test_a_websocket_that_does_not_come_about_leaves_its_place_to_the_event_stream(
    peer: Peer, script: Any
) -> None:
    peer.websocket, peer.eventsource = [script], [states]
    async with listening(to(peer), timing={"connect_s": 0.3}) as listener:
        assert (await listener.expect(Connected)).transport == "eventsource"
        assert (await listener.expect(Changed)).changed == {"a": {"Email": "1"}}
        assert listener.push.refusals.keys() == {"websocket"}
    assert peer.count("/ws") == 1


async def test_a_websocket_that_opens_and_answers_nothing_is_none(peer: Peer) -> None:
    async def half_open(x: Exchange) -> None:
        await x.upgrade()
        await x.gone()

    peer.websocket, peer.eventsource = [half_open], [states]
    async with listening(to(peer), timing={"connect_s": 0.3}) as listener:
        assert (await listener.expect(Connected)).transport == "eventsource"


async def test_a_websocket_on_which_push_is_refused_leaves_its_place(peer: Peer) -> None:
    async def refuse(x: Exchange) -> None:
        await x.upgrade()
        await x.message()
        await x.say({"@type": "RequestError", "requestId": None, "status": 400, "detail": "no push here"})
        await x.gone()

    peer.websocket, peer.eventsource = [refuse], [states]
    async with listening(to(peer)) as listener:
        assert (await listener.expect(Connected)).transport == "eventsource"
        assert "no push here" in str(listener.push.refusals["websocket"])


async def test_with_no_transport_that_is_offered_the_caller_is_told_to_poll(peer: Peer) -> None:
    peer.websocket, peer.eventsource = [refusing("501 Not Implemented")], [refusing("404 Not Found")]
    async with listening(to(peer), timing={"unpushed_poll_s": 0.05}) as listener:
        assert (await listener.expect(Connected)).transport == "poll"
        assert listener.push.transport == "poll"
        await listener.expect(Poll)
        await listener.expect(Poll)
    assert (peer.count("/ws"), peer.count("/sse")) == (1, 1)


async def test_a_session_without_push_is_polled(peer: Peer) -> None:
    async with listening(to(peer), timing={"unpushed_poll_s": 0.05}) as listener:
        assert (await listener.expect(Connected)).transport == "poll"
        await listener.expect(Poll)


async def test_the_better_transport_is_tried_again_while_the_other_works(peer: Peer) -> None:
    async def quiet(x: Exchange) -> None:
        await x.stream()
        await x.write(b": I am here\n\n")
        await x.gone()

    peer.websocket, peer.eventsource = [refusing("404 Not Found")] * 2 + [pushes], [quiet]
    async with listening(to(peer), timing={"better_s": 0.1}) as listener:
        found = [(await listener.expect(Connected)).transport for _ in range(3)]
        assert found == ["eventsource", "eventsource", "websocket"]
        assert (await listener.expect(Changed)).changed == {"a": {"Email": "1"}}
        assert listener.push.refusals == {}


async def test_after_an_outage_of_all_the_best_comes_first(peer: Peer) -> None:
    down = refusing("502 Bad Gateway")
    peer.websocket, peer.eventsource = [down, down, pushes], [down, down, states]
    async with listening(to(peer)) as listener:
        for _ in range(2):
            lost = await listener.expect(Lost)
            assert not listener.push.alive
            assert "502" in str(lost.error)
        assert (await listener.expect(Connected)).transport == "websocket"


@pytest.mark.parametrize("transport", ["websocket", "eventsource"])
async def test_a_forced_transport_is_not_left(peer: Peer, transport: Any) -> None:
    peer.websocket = [refusing("404 Not Found"), pushes]
    peer.eventsource = [refusing("404 Not Found"), states]
    async with listening(to(peer), transport=transport) as listener:
        assert (await listener.expect(Lost)).transport == transport
        assert (await listener.expect(Connected)).transport == transport


@pytest.mark.parametrize("transport", ["websocket", "eventsource"])
async def test_a_forced_transport_that_the_session_has_not_is_an_error(peer: Peer, transport: Any) -> None:
    async with listening(to(peer), transport=transport) as listener:
        with pytest.raises(NotSupported, match=f"127.0.0.1:{peer.port} has no"):
            await listener.next()


async def test_credentials_of_https_do_not_go_over_http(peer: Peer) -> None:
    peer.websocket, peer.eventsource = [pushes], [states]
    async with listening(to(peer, "https"), Bearer("secret")) as listener:
        assert (await listener.expect(Connected)).transport == "poll"
        assert listener.push.refusals.keys() == {"websocket", "eventsource"}
        assert all("without TLS" in str(error) for error in listener.push.refusals.values())
    assert peer.exchanges == []
