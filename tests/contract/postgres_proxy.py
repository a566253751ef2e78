"""Stands between a store and PostgreSQL: counts what goes over the wire, holds it up, cuts it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

_SYNC, _QUERY = ord("S"), ord("Q")


class Proxy:
    """``asked``: how often an answer was waited for: each Sync and each simple Query is a round trip."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self.port = 0
        self.asked: list[bytes] = []
        # Called with each message of a client that asks for an answer; true: it goes on to the server, but
        # the answer does not come back, and the connection ends.
        self.cut: Callable[[bytes], bool] = lambda message: False
        # The same, but the server hears nothing of it, and does not see that the connection has ended.
        self.swallow: Callable[[bytes], bool] = lambda message: False
        self._ended = asyncio.Event()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(*self._server)
        answers = asyncio.create_task(_pump(theirs, writer))
        try:
            if not await self._requests(reader, ours, answers):
                answers.cancel()
                writer.close()
                await self._ended.wait()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            answers.cancel()
            with suppress(asyncio.CancelledError):
                await answers
            for one in (ours, writer):
                one.close()
                with suppress(ConnectionError):
                    await one.wait_closed()

    async def _requests(
        self, reader: asyncio.StreamReader, ours: asyncio.StreamWriter, answers: asyncio.Task[None]
    ) -> bool:
        """Whether the server's end is to be closed, too."""
        size = await reader.readexactly(4)
        ours.write(size + await reader.readexactly(int.from_bytes(size) - 4))
        told = b""
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(int.from_bytes(head[1:]) - 4)
            told += body
            if head[0] in (_SYNC, _QUERY):
                self.asked.append(told)
                if self.swallow(told):
                    return False
                if self.cut(told):
                    answers.cancel()
                    ours.write(head + body)
                    await ours.drain()
                    await asyncio.sleep(0.3)  # the server is done by then, mostly; that it is not is no harm
                    return True
                told = b""
            ours.write(head + body)
            await ours.drain()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxied(host: str, port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(host, port)
    listening = await asyncio.start_server(proxy._accept, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        proxy._ended.set()
        listening.close()
        await asyncio.sleep(0.05)
