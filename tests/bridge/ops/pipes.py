"""Reading what a process writes."""

import asyncio
from collections.abc import AsyncIterator


async def lines(end: int) -> AsyncIterator[bytes]:
    """Of a pipe, until nobody writes into it any more."""
    reader = asyncio.StreamReader(limit=1024 * 1024)
    with open(end, "rb", buffering=0) as pipe:
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        try:
            async for line in reader:
                yield line
        finally:
            transport.close()
