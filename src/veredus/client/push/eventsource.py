"""Push over an event stream (RFC 8620 §7.3)."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from veredus.client.errors import TransportError
from veredus.client.http import Connection
from veredus.client.push.transport import (
    MAX_MESSAGE,
    Heard,
    NotOffered,
    Wanted,
    not_understood,
    refusal,
    translated,
)
from veredus.formats.eventstream import Message, Parser, TooLong
from veredus.wire.types import Id

_TYPE = "text/event-stream"
# Octets of an id that we send back; a header section takes no longer ones everywhere.
_MAX_ID = 8000
# A server may grant other intervals than we ask for, but none that would make a watch pointless.
_LONGEST_PING_S = 900.0
# As the `retry` of a stream, seconds.
_LONGEST_RETRY_S = 60.0


class _StateChange(Struct):
    changed: dict[Id, dict[str, str]]


class _Ping(Struct):
    interval: float = 0


class EventStream:
    """A Stream."""

    def __init__(self, response: aiohttp.ClientResponse, url: str, wanted: Wanted) -> None:
        self._response, self._url, self._wanted = response, url, wanted
        self._parser = Parser(MAX_MESSAGE)
        self._heard: deque[Heard] = deque()
        self._ping_s = max(wanted.ping_s, wanted.timing.ping_floor_s)
        self._has_changed = False
        self.works = False

    async def next(self) -> Heard | None:
        while not self._heard:
            piece = await self._read()
            if not piece:
                self._end()
                return None
            self.works = True
            try:
                messages = self._parser.feed(piece)
            except TooLong as error:
                raise not_understood(self._url, f"an event stream with {error}") from None
            # Of what is told at once only the newest position counts, and each change.
            self._heard.extend(map(self._understood, messages))
            if not messages:
                self._heard.append(Heard(is_event=False, position=_position(self._parser.last_event_id)))
        return self._heard.popleft()

    async def _read(self) -> bytes:
        limit_s = self._wanted.timing.silence * self._ping_s
        try:
            async with asyncio.timeout(limit_s):
                with translated(self._url):
                    return await self._response.content.readany()
        except TimeoutError:
            host = urlsplit(self._url).netloc
            raise TransportError(host, f"no octet for {limit_s:g} s, not even a ping") from None

    def _end(self) -> None:
        """Returns when it was agreed that the server ends the stream."""
        if self._wanted.closes_after_state and self._has_changed:
            return
        retry_ms = self._parser.retry_ms
        retry_s = None if retry_ms is None else min(retry_ms / 1000, _LONGEST_RETRY_S)
        host = urlsplit(self._url).netloc
        raise TransportError(host, "the server ended the event stream", retry_after_s=retry_s)

    def _understood(self, message: Message) -> Heard:
        position = _position(message.last_event_id)
        if message.event == "ping":
            self._granted(self._decoded(message, _Ping).interval)
        elif message.event == "state":
            self._has_changed = True
            return Heard(self._decoded(message, _StateChange).changed, position=position)
        return Heard(position=position)

    def _granted(self, interval: float) -> None:
        """Some servers say milliseconds where §7.3 says seconds (Stalwart)."""
        if interval >= 1000 and interval > 10 * self._wanted.ping_s:
            interval /= 1000
        if interval > 0:
            self._ping_s = min(interval, _LONGEST_PING_S)

    def _decoded(self, message: Message, type: Any) -> Any:
        try:
            return msgspec.json.decode(message.data, type=type)
        except msgspec.MsgspecError as error:
            raise not_understood(
                self._url, f"a {message.event} event that is not RFC 8620's: {error}"
            ) from None


def _position(last_event_id: str) -> str | None:
    # Unprintable, it could not be sent back in a header field.
    fits = last_event_id.isprintable() and 0 < len(last_event_id.encode()) <= _MAX_ID
    return last_event_id if fits else None


@asynccontextmanager
async def eventsource(
    connection: Connection, url: str, wanted: Wanted, last_event_id: str | None
) -> AsyncIterator[EventStream]:
    """An open stream. Raises TransportError, and JMAPError for unreadable credentials."""
    headers = {
        **await connection.authorization(),
        "Accept": _TYPE,
        "Cache-Control": "no-store",
        # What is compressed may be held back until there is enough of it.
        "Accept-Encoding": "identity",
    }
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    stream_wait_s = wanted.timing.silence * max(wanted.ping_s, wanted.timing.ping_floor_s)
    timeout = aiohttp.ClientTimeout(sock_connect=wanted.timing.connect_s)
    with translated(url):
        # Some servers send the head with the first event only, so it may take as long as one.
        async with asyncio.timeout(stream_wait_s):
            target = URL(url, encoded=True)
            response = await connection.session.get(
                target, headers=headers, timeout=timeout, **connection.proxies.arguments(target)
            )
    try:
        if response.status != 200:
            raise refusal(url, response.status, response.headers, response.reason or "")
        if response.content_type != _TYPE:
            raise NotOffered(urlsplit(url).netloc, f"{response.content_type} instead of {_TYPE}")
        yield EventStream(response, url, wanted)
    finally:
        response.close()
