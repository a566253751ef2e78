"""Subscribers that lose their connection now and then, and go on over another node where they were."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Mapping
from typing import Any, Literal

import aiohttp

from cluster.clients import TYPES, Shared
from cluster.history import Told
from cluster.node import HTTP_PORT, Node
from cluster.speaker import Account

_CONNECT_S = 1.5
_AGAIN_S = 0.2
# After so long a stream is cut by its client.
_LIVES_S = (0.5, 2.0, 8.0, 30.0)


class Subscriber:
    """One stream at a time; its place is the id of the last event, or the last pushState."""

    def __init__(
        self,
        name: str,
        seed: int,
        nodes: list[Node],
        account: Account,
        shared: Shared,
        over: Literal["eventsource", "websocket"],
    ) -> None:
        self.name, self.account = name, account
        self._nodes, self._shared, self._over = nodes, shared, over
        self._chance = random.Random(f"{seed} {name}")
        self._place = ""
        self.newest: dict[str, int] = {}
        self.connections = 0
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as http:
            while True:
                node = self._chance.choice(self._nodes)
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, ConnectionError, ValueError):
                    stream = self._events if self._over == "eventsource" else self._socket
                    async with asyncio.timeout(self._chance.choice(_LIVES_S)):
                        await stream(http, node)
                self._shared.count("streams that ended")
                await asyncio.sleep(self._chance.uniform(_AGAIN_S, 2 * _AGAIN_S))

    async def until(self, states: Mapping[str, int]) -> None:
        """Wait until it knows all these."""
        while any(self.newest.get(type) != state for type, state in states.items()):
            self.changed.clear()
            await self.changed.wait()

    async def _events(self, http: aiohttp.ClientSession, node: Node) -> None:
        headers = {"authorization": f"Bearer {self.account.token}"}
        if self._place:
            headers["last-event-id"] = self._place
        url = f"{node.url}/jmap/eventsource?types=*&closeafter=no&ping=0"
        async with http.get(url, headers=headers) as answer:
            if answer.status != 200:
                self._refused(node, answer.status)
                return
            self.connections += 1
            fields: dict[str, str] = {}
            async for line in answer.content:
                text = line.decode().rstrip("\r\n")
                name, _, value = text.partition(": ")
                if text:
                    fields[name] = value
                    continue
                self._place = fields.get("id", self._place)
                if fields.get("event") == "state":
                    self._take(json.loads(fields["data"]))
                fields = {}

    async def _socket(self, http: aiohttp.ClientSession, node: Node) -> None:
        headers = {"authorization": f"Bearer {self.account.token}"}
        url = f"ws://{node.address}:{HTTP_PORT}/jmap/ws"
        async with http.ws_connect(url, headers=headers, protocols=("jmap",)) as socket:
            self.connections += 1
            enable = {"@type": "WebSocketPushEnable", "dataTypes": None, "pushState": self._place or None}
            await socket.send_json(enable)
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    change = json.loads(message.data)
                    self._place = change.get("pushState", self._place)
                    self._take(change)

    def _refused(self, node: Node, status: int) -> None:
        if status != 503:
            self._shared.troubles.append(f"{self.name} over {node.name}: {status}")

    def _take(self, change: Any) -> None:
        if change["@type"] != "StateChange":
            self._shared.troubles.append(f"{self.name}: {change}")
            return
        now = time.monotonic()
        for account, states in change["changed"].items():
            for type, state in states.items():
                if type in TYPES:
                    self.newest[type] = int(state)
                    self._shared.history.told.append(Told(self.name, account, type, int(state), now))
                    self._shared.keep(account, type, int(state))
        self.changed.set()
