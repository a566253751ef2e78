"""What a caller of push may rely on: credentials, memory, a clean end."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from client.push.listening import listening, to
from client.push.peer import Exchange, Peer, change, pushes, refusing, silent, state, states
from veredus.client.credentials import TokenFile
from veredus.client.errors import Unauthorized
from veredus.client.http import Connection
from veredus.client.push import Changed, Connected, Lost, Poll, Push, PushPosition


class Rotating:
    """Credentials that are good only when they were refreshed."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = list(tokens)

    async def authorization(self) -> str:
        return f"Bearer {self._tokens[0]}"

    async def refresh(self) -> bool:
        if len(self._tokens) > 1:
            self._tokens.pop(0)
            return True
        return False


def guarded(script: Any) -> Any:
    async def check(x: Exchange) -> None:
        await (script(x) if x.headers["authorization"] == "Bearer good" else x.refuse("401 Unauthorized"))

    return check


@pytest.mark.parametrize("transport", ["websocket", "eventsource"])
async def test_other_credentials_are_tried_once(peer: Peer, transport: Any) -> None:
    peer.websocket, peer.eventsource = [guarded(pushes)], [guarded(states)]
    async with listening(to(peer), Rotating("old", "good"), transport=transport) as listener:
        await listener.expect(Connected)
        await listener.expect(Changed)
    assert len(peer.exchanges) == 2


@pytest.mark.parametrize("tokens", [["old"], ["old", "older", "good"]], ids=["no others", "as bad"])
@pytest.mark.parametrize("transport", ["auto", "websocket", "eventsource"])
async def test_when_they_are_refused_too_it_is_the_end(peer: Peer, transport: Any, tokens: list[str]) -> None:
    peer.websocket, peer.eventsource = [guarded(pushes)], [guarded(states)]
    async with listening(to(peer), Rotating(*tokens), transport=transport) as listener:
        with pytest.raises(Unauthorized, match="401"):
            await listener.next()
    assert len(peer.exchanges) == min(len(tokens), 2)


async def test_a_secret_that_cannot_be_read_is_waited_for(peer: Peer, tmp_path: Path) -> None:
    peer.websocket = [guarded(pushes)]
    async with listening(to(peer), TokenFile(tmp_path / "token")) as listener:
        assert "credentials" in str((await listener.expect(Lost)).error)
        assert peer.exchanges == []
        (tmp_path / "token").write_text("good")
        await listener.until(Connected)


@pytest.mark.parametrize("transport", ["websocket", "eventsource"])
async def test_a_slow_caller_gets_the_newest_and_no_queue(peer: Peer, transport: Any) -> None:
    told = asyncio.Event()

    async def busy(x: Exchange) -> None:
        if transport == "websocket":
            await x.pushing()
        else:
            await x.stream()
        for n in range(1000):
            await (x.say(change(str(n))) if transport == "websocket" else x.write(state(str(n))))
        last = {"b": {"Thread": "1"}}
        if transport == "websocket":
            await x.say({"@type": "StateChange", "changed": last, "pushState": "end"})
        else:
            await x.write(b'event: state\ndata: {"changed":{"b":{"Thread":"1"}}}\nid: end\n\n')
        told.set()
        await x.gone()

    peer.websocket = peer.eventsource = [busy]
    async with listening(to(peer), transport=transport) as listener:
        await listener.expect(Connected)
        await told.wait()
        while listener.push.position == PushPosition():
            await asyncio.sleep(0.01)
        signal = await listener.expect(Changed)
        assert signal.changed == {"a": {"Email": "999"}, "b": {"Thread": "1"}}
        assert "end" in (signal.position.push_state, signal.position.last_event_id)


async def test_more_states_than_can_be_kept_are_one_look_at_everything(peer: Peer) -> None:
    async def many(x: Exchange) -> None:
        await x.stream()
        for n in range(0, 12_000, 1000):
            accounts = ",".join(f'"a{i}":{{"Email":"1"}}' for i in range(n, n + 1000))
            await x.write(f'event: state\ndata: {{"changed":{{{accounts}}}}}\nid: {n}\n\n')
        await x.gone()

    peer.eventsource = [many]
    async with listening(to(peer)) as listener:
        await listener.expect(Connected)
        while listener.push.position != PushPosition(last_event_id="11000"):
            await asyncio.sleep(0.01)
        await listener.until(Poll)


@pytest.mark.parametrize("where", ["websocket", "eventsource", "connecting", "waiting", "poll"])
@pytest.mark.parametrize("how", ["break", "cancel in the loop", "cancel while waiting"])
async def test_who_leaves_leaves_nothing_behind(peer: Peer, where: str, how: str) -> None:
    """Warnings are errors, too."""
    peer.websocket = {"websocket": [pushes]}.get(where, [])
    down = refusing("503 Service Unavailable", "Retry-After: 1000")
    peer.eventsource = {"eventsource": [states], "connecting": [silent], "waiting": [down]}.get(where, [])
    first = asyncio.Event()

    async def follow(push: Push) -> None:
        async for _ in push.signals(poll_s=0.1):
            first.set()
            if how == "break":
                break
            if how == "cancel in the loop":
                await asyncio.sleep(60)

    async with Connection(None) as connection:
        push = Push(connection, to(peer))
        task = asyncio.create_task(follow(push))
        async with asyncio.timeout(20):
            await first.wait()
            if how != "break":
                task.cancel()
            await asyncio.wait([task])
            while any(task.get_name() == "push" for task in asyncio.all_tasks()):
                await asyncio.sleep(0.01)
            if peer.exchanges:
                await peer.is_idle.wait()
        assert not push.alive
