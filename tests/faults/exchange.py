"""One request through the fault proxy, and its answer, with at most one fault on the way."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable
from typing import Any

from faults.http1 import LINE_LIMIT, Head, framed, read_body, read_head
from faults.rules import (
    Answer,
    Cut,
    Damage,
    Hold,
    MethodFails,
    Replace,
    Request,
    Rule,
    Silence,
    Stall,
    Throttle,
    Truncate,
    edited,
)
from faults.steps import Observer, Stage, Step
from faults.streams import Stream, event_blocks, websocket_frames


class Gone(Exception):
    """The client's connection is to be closed."""


class Traffic:
    """What all exchanges of a proxy share. ``upstream``: host and port of the server."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.upstream = upstream
        self.observers: list[Observer] = []
        self.streams: set[Stream] = set()
        # How often each rule was.
        self.applied: Counter[Rule] = Counter()
        # So many StateChange events to come are not passed on; and how many were not.
        self.drop_state_changes = 0
        self.dropped = 0

    def see(self, request: Request, stage: Stage) -> None:
        """Tell the observers. Raises Gone when the client was killed; each of them sees each step even then."""
        dead = False
        for what in request.methods or [request.path]:
            for observe in self.observers:
                dead |= observe(Step("jmap", what, stage))
        if dead:
            raise Gone


class Exchange:
    """One request and its answer, with at most one fault. A connection to the server of its own."""

    def __init__(
        self,
        traffic: Traffic,
        request: Request,
        rule: Rule | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._traffic, self._request, self._rule = traffic, request, rule
        self._fault = rule.fault if rule else None
        self._reader, self._writer = reader, writer

    async def run(self, head: Head, body: bytes) -> bool:
        await self._suffer("request")
        if isinstance(self._fault, Answer):
            await self._answer(self._fault)
            return True
        server, upstream = await asyncio.open_connection(*self._traffic.upstream, limit=LINE_LIMIT)
        try:
            clean = head.without(b"expect", b"sec-websocket-extensions")
            upstream.write((clean.sized(len(body)) if body or head.has_length else clean).encode() + body)
            await upstream.drain()
            self._traffic.see(self._request, "forwarded")
            answer = await read_head(server)
            if answer is None:
                raise Gone
            self._traffic.see(self._request, "answered")
            await self._suffer("answer")
            await self._suffer("head")
            return await self._pass(answer, server, upstream)
        finally:
            upstream.close()

    async def _suffer(self, place: str) -> None:
        """Be cut, held or stalled, if this is where."""
        fault = self._fault
        if isinstance(fault, Hold) and fault.at == place:
            fault.reached.set()
            await fault.released.wait()
        if not isinstance(fault, Stall | Cut) or fault.at != place:
            return
        if isinstance(fault, Cut):
            raise Gone
        await self._writer.drain()
        if fault.seconds is None:
            await self._reader.read()  # until the client gives up
            raise Gone
        await asyncio.sleep(fault.seconds)

    async def _answer(self, fault: Answer) -> None:
        fields = [(b"content-type", fault.type.encode())]
        if fault.retry_after is not None:
            fields.append((b"retry-after", fault.retry_after.encode()))
        if fault.status == 401:
            fields.append((b"www-authenticate", b'Bearer realm="faults"'))
        head = Head(b"HTTP/1.1 %d Made By The Proxy" % fault.status, fields).sized(len(fault.body))
        self._writer.write(head.encode() + (b"" if self._request.verb == "HEAD" else fault.body))
        await self._writer.drain()

    async def _pass(self, head: Head, server: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> bool:
        """The answer, as it is or as the fault makes it; whether the connection may be used again."""
        writer = self._writer
        if head.status == 101:
            writer.write(head.encode())
            await self._tunnel(server, upstream)
            return False
        if self._request.verb == "HEAD" or head.status in (204, 304):
            writer.write(head.encode())
            await writer.drain()
        elif head.get(b"content-type").startswith(b"text/event-stream"):
            writer.write(head.encode())
            await self._stream(head, server)
        else:
            await self._body(head, [piece async for piece in read_body(server, head, until_close=True)])
        return head.has_length and head.get(b"connection") != b"close"

    async def _body(self, head: Head, pieces: Iterable[bytes]) -> None:
        """An answer that ends. It is read as a whole first: then its middle is known."""
        body, writer = b"".join(pieces), self._writer
        if isinstance(self._fault, Truncate | Replace | MethodFails | Damage):
            changed = edited(self._fault, body)
            if changed is None and self._rule is not None:
                self._traffic.applied[self._rule] -= 1
            body = body if changed is None else changed
        writer.write(head.sized(len(body)).encode())
        await self._suffer("after_head")
        if isinstance(self._fault, Throttle):
            await self._trickle(body, self._fault.octets_per_s)
            return
        middle = len(body) // 2
        writer.write(body[:middle])
        if isinstance(self._fault, Stall | Cut):
            await writer.drain()
        await self._suffer("body")
        writer.write(body[middle:])
        await writer.drain()

    async def _trickle(self, body: bytes, octets_per_s: int) -> None:
        """Twenty times a second."""
        size = max(octets_per_s // 20, 1)
        for start in range(0, len(body), size):
            self._writer.write(body[start : start + size])
            await self._writer.drain()
            await asyncio.sleep(size / octets_per_s)

    # -------------------------------------------------------------- streams

    async def _stream(self, head: Head, server: asyncio.StreamReader) -> None:
        """EventSource, block by block."""
        stream = Stream(isinstance(self._fault, Silence))

        async def down() -> None:
            await self._suffer("after_head")
            async for block in event_blocks(read_body(server, head, until_close=True)):
                if not self._is_lost(stream, b"event: state\n" in block):
                    self._writer.write(framed(head, block))
                    await self._writer.drain()
                    await self._suffer("body")
            if head.is_chunked:
                self._writer.write(framed(head, b""))

        async def up() -> None:
            await self._reader.read()

        await self._both(stream, down(), up())

    async def _tunnel(self, server: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
        """WebSocket: from the server frame by frame, from the client octet by octet."""
        stream = Stream(isinstance(self._fault, Silence))

        async def down() -> None:
            async for frame in websocket_frames(server):
                if not self._is_lost(stream, b'"StateChange"' in frame):
                    self._writer.write(frame)
                    await self._writer.drain()

        async def up() -> None:
            while piece := await self._reader.read(65_536):
                if not stream.is_silent:
                    upstream.write(piece)
                    await upstream.drain()

        await self._both(stream, down(), up())

    async def _both(
        self, stream: Stream, down: Coroutine[Any, Any, None], up: Coroutine[Any, Any, None]
    ) -> None:
        """Until one end closes; of a silent stream only the client can tell."""
        await self._writer.drain()
        tasks = asyncio.create_task(down), asyncio.create_task(up)
        self._traffic.streams.add(stream)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if stream.is_silent:
                await tasks[1]
        finally:
            self._traffic.streams.discard(stream)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _is_lost(self, stream: Stream, is_state_change: bool) -> bool:
        traffic = self._traffic
        if not stream.is_silent and is_state_change and traffic.drop_state_changes:
            traffic.drop_state_changes -= 1
            traffic.dropped += 1
            return True
        return stream.is_silent
