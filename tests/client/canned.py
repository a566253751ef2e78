"""A server that answers what a test says, for what no server of ours would say."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import Struct

from veredus.client import Client, Email, JMAPError

TOKEN = "s3cret-token"
CORE, MAIL = "urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"
SESSION: dict[str, Any] = {
    "capabilities": {CORE: {}, MAIL: {}},
    "accounts": {"a": {"name": "x", "accountCapabilities": {MAIL: {}}}},
    "primaryAccounts": {MAIL: "a"},
    "username": "alice",
    "apiUrl": "/api",
    "downloadUrl": "/d/{accountId}/{blobId}/{name}?{type}",
    "uploadUrl": "/u/{accountId}",
    "eventSourceUrl": "/e?{types}{closeafter}{ping}",
    "state": "s",
}


class Asked(Struct):
    """A request as it came; ``calls`` only of the API."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def calls(self) -> list[list[Any]]:
        return json.loads(self.body)["methodCalls"]


class Said(Struct):
    """An answer; a ``body`` that is no octets is JSON."""

    body: Any = b""
    status: int = 200
    type: str = "application/json"
    headers: dict[str, str] = {}

    def octets(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        fields = {"Content-Type": self.type, "Content-Length": str(len(body)), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"HTTP/1.1 {self.status} said\r\n{head}\r\n".encode() + body


def responses(*answers: list[Any], state: str = "s") -> Said:
    """An answer of the API."""
    return Said({"methodResponses": list(answers), "sessionState": state})


def api(answer: Callable[[Asked], Said], **session: Any) -> Callable[[Asked], Said]:
    """A session, and what ``answer`` says to all else."""
    return lambda asked: answer(asked) if asked.method == "POST" else Said(SESSION | session)


def nothing(asked: Asked) -> Said:
    """Each /get finds nothing, each other method answers as much as it must."""
    answers = []
    for name, _, id in asked.calls:
        answer = {"accountId": "a", "state": "s", "list": [], "notFound": []}
        answer |= {"queryState": "s", "ids": [], "oldState": "s", "newState": "s"}
        answers.append([name, answer, id])
    return responses(*answers)


@asynccontextmanager
async def canned(answer: Callable[[Asked], Said], host: str = "127.0.0.1") -> AsyncIterator[str]:
    """The URL of a server; ``answer`` may raise what ends a connection without a word."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *fields = head.strip().split("\r\n")
                headers = {
                    name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)
                }
                body = await _body(reader, headers)
                method, path, _ = line.split()
                writer.write(answer(Asked(method, path, headers, body)).octets())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        server.close()


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return body


async def error_of(url: str, **options: Any) -> str:
    with pytest.raises(JMAPError) as raised:
        async with Client.connect(url, **({"token": TOKEN} | options)) as client:
            await client.get(Email, ["x"])
    assert TOKEN not in str(raised.value)
    return str(raised.value)
