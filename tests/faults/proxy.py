"""A proxy before a JMAP server that passes everything, and does to it what it is told at run time.

The Host field is passed as it came, so all URLs of the Session object of our server lead back here. The only
thing that is always changed: compression of WebSocket messages is not offered, so that they can be read.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faults.exchange import Exchange, Gone, Traffic
from faults.http1 import LINE_LIMIT, read_body, read_head
from faults.rules import Request, Rule, method_names


class Proxy:
    """``applied``: how often each rule was; ``requests``: how many came in, by method name or path."""

    def __init__(self, upstream: str, seed: int = 0) -> None:
        self.traffic = Traffic(_address(upstream))
        self._chance = random.Random(seed)
        self._rules: list[Rule] = []
        self._matched: Counter[Rule] = Counter()
        self._connections: set[asyncio.Task[None]] = set()
        self._refuses = False
        self.requests: Counter[str] = Counter()
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, upstream: str, seed: int = 0) -> AsyncIterator["Proxy"]:
        """``upstream``: http://host:port of the server."""
        proxy = cls(upstream, seed)
        server = await asyncio.start_server(proxy._accept, "127.0.0.1", 0, limit=LINE_LIMIT)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            await proxy.cut_all()
            await server.wait_closed()

    @property
    def applied(self) -> Counter[Rule]:
        return self.traffic.applied

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def session_url(self) -> str:
        return f"{self.url}/jmap/session"

    # -------------------------------------------------------------- what it is told

    def add(self, *rules: Rule) -> None:
        """From the next request on; the first of all rules that applies is applied. Counting begins anew."""
        for rule in rules:
            self._matched[rule] = self.traffic.applied[rule] = 0
            self._rules.append(rule)

    def remove(self, *rules: Rule) -> None:
        for rule in rules:
            self._rules.remove(rule)

    def clear(self) -> None:
        """Pass everything again; what is stalled or silent stays so."""
        self._rules.clear()
        self._refuses = False
        self.traffic.drop_state_changes = 0

    def lead_to(self, upstream: str) -> None:
        """From the next request on: the server was started again on another port."""
        self.traffic.upstream = _address(upstream)

    def refuse(self) -> None:
        """Close each new connection at once, until ``clear``."""
        self._refuses = True

    @property
    def open_streams(self) -> int:
        """EventSource and WebSocket streams that pass something."""
        return sum(not stream.is_silent for stream in self.traffic.streams)

    def silence_streams(self) -> int:
        """No octet passes on the streams that are open now, and nobody is told; how many those were."""
        count = self.open_streams
        for stream in self.traffic.streams:
            stream.is_silent = True
        return count

    async def cut_all(self) -> None:
        """Close every connection there is."""
        connections = set(self._connections)
        for task in connections:
            task.cancel()
        if connections:
            await asyncio.wait(connections)

    # -------------------------------------------------------------- connections

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while not self._refuses and await self._exchange(reader, writer):
                pass
        except (Gone, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # whichever end is gone, the other one is told by the close
        finally:
            self._connections.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether another may come on this connection."""
        head = await read_head(reader)
        if head is None:
            return False
        if head.get(b"expect"):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = b"".join([piece async for piece in read_body(reader, head)])
        path = head.target.partition("?")[0]
        request = Request(head.method, path, method_names(body) if path == "/jmap" else ())
        self.requests.update(request.methods or [path])
        rule = self._rule_for(request)
        self.traffic.see(request, "arrived")
        return await Exchange(self.traffic, request, rule, reader, writer).run(head, body)

    def _rule_for(self, request: Request) -> Rule | None:
        """Each rule counts what matches it, also what an earlier one takes."""
        chosen = None
        for rule in self._rules:
            if not rule.matches(request):
                continue
            self._matched[rule] += 1
            is_late = rule.times is not None and self.applied[rule] >= rule.times
            if chosen is not None or is_late or self._matched[rule] < rule.nth:
                continue
            if rule.probability >= 1 or self._chance.random() < rule.probability:
                self.traffic.applied[rule] += 1
                chosen = rule
        return chosen


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
    return host, int(port)
