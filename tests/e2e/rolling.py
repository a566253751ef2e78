"""Clients of a cluster that work all the time while its nodes come and go, and say what they met."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage
from websockets.typing import Subprotocol

from e2e.clients import HttpJmap, MailClient
from e2e.workers import ALICE, AUTH, PATIENCE_S
from jmap import message

_PAUSE_S = 0.02


class Writer:
    """Creates Emails and reads them back, over connections that it keeps; every request must succeed."""

    def __init__(self, url: str, account: str, mailbox: str) -> None:
        self._client = HttpJmap(url, AUTH, account)
        self._mailbox = mailbox
        self._is_over = False
        # Ids of Emails that the server has confirmed.
        self.created: list[str] = []

    def finish(self) -> None:
        """End after what is in flight."""
        self._is_over = True

    async def run(self) -> None:
        while not self._is_over:
            draft = {"mailboxIds": {self._mailbox: True}, "subject": "rolling", "keywords": {"$draft": True}}
            [done, read] = await self._client.calls(
                [("Email/set", {"create": {"new": draft}}), ("Email/get", {"ids": ["#new"]})]
            )
            id = done["created"]["new"]["id"]
            assert [email["id"] for email in read["list"]] == [id]
            self.created.append(id)
            # By another request, which another node answers.
            found = await self._client.call("Email/get", ids=[id], properties=["subject"])
            assert found["list"] == [{"id": id, "subject": "rolling"}], found
            await asyncio.sleep(_PAUSE_S)

    async def close(self) -> None:
        await self._client.close()


class Deliverer:
    """Delivers mail by LMTP, each message over a connection of its own, and again until it is accepted."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._is_over = False
        # Subjects of what was accepted; how often we do not know whether a message was.
        self.accepted: list[str] = []
        self.unanswered = 0

    def finish(self) -> None:
        """End after what is in flight."""
        self._is_over = True

    async def run(self) -> None:
        number = 0
        while not self._is_over:
            number += 1
            while not await self._deliver(f"mail {number}"):
                await asyncio.sleep(_PAUSE_S)
            self.accepted.append(f"mail {number}")
            await asyncio.sleep(_PAUSE_S)

    async def _deliver(self, subject: str) -> bool:
        try:
            client = await MailClient.connect(self._port, is_lmtp=True)
        except ConnectionError:
            return False
        try:
            [reply] = await client.send(message(subject), ALICE)
        except ConnectionError:
            self.unanswered += 1
            return False
        finally:
            await client.close()
        assert reply.startswith("250"), reply
        return True


class Socket:
    """A WebSocket with push that comes back with the pushState it saw last."""

    def __init__(self, url: str) -> None:
        self._url = f"{url.replace('http', 'ws', 1)}/jmap/ws"
        self.states: dict[str, str] = {}
        self.push_state: str | None = None
        self.is_open = asyncio.Event()
        # Set by each change that it is told of.
        self.heard = asyncio.Event()
        # With which each connection was closed; 1006: it was lost.
        self.codes: list[int] = []
        # How often a handshake was not answered.
        self.unheard = 0
        self._task: asyncio.Task[None] | None = None

    def finish(self) -> None:
        """End at once."""
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        self._task = asyncio.current_task()
        headers = {"Authorization": f"Basic {b64encode(':'.join(AUTH).encode()).decode()}"}
        while True:
            try:
                async with connect(
                    self._url, subprotocols=[Subprotocol("jmap")], additional_headers=headers, proxy=None
                ) as socket:
                    await self._follow(socket)
            except ConnectionClosed as closed:
                self.codes.append(closed.rcvd.code if closed.rcvd else 1006)
            except (OSError, InvalidMessage):  # nobody listens, or nobody any more
                self.unheard += 1
                await asyncio.sleep(_PAUSE_S)
            self.is_open.clear()

    async def _follow(self, socket: ClientConnection) -> None:
        enable = {"@type": "WebSocketPushEnable", "dataTypes": None, "pushState": self.push_state}
        await socket.send(json.dumps(enable))
        await socket.send(json.dumps({"@type": "Request", "using": [], "methodCalls": []}))
        while True:
            self._take(json.loads(await socket.recv()))

    def _take(self, message: dict[str, Any]) -> None:
        self.is_open.set()
        if message["@type"] == "StateChange":
            self.push_state = message["pushState"]
            for states in message["changed"].values():
                self.states.update(states)
            self.heard.set()


@asynccontextmanager
async def working(*clients: Writer | Deliverer | Socket) -> AsyncIterator[None]:
    """While they work, until they have finished; the first that fails ends the block, with what it met."""

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(client.run())

    here = asyncio.current_task()
    assert here is not None
    task = asyncio.create_task(all_of_them())
    task.add_done_callback(lambda done: done.cancelled() or done.exception() is None or here.cancel())
    try:
        yield
    finally:
        for client in clients:
            client.finish()
        await asyncio.wait([task], timeout=PATIENCE_S)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
