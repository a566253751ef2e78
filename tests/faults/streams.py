"""Push streams as a proxy sees them: where an event begins and where it ends."""

import asyncio
from collections.abc import AsyncIterator


class Stream:
    """One that is open. ``is_silent``: nothing passes any more."""

    def __init__(self, is_silent: bool) -> None:
        self.is_silent = is_silent


async def event_blocks(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The blocks of an event stream, each with its empty line; at the end also half of one."""
    rest = b""
    async for piece in pieces:
        *blocks, rest = (rest + piece).split(b"\n\n")
        for block in blocks:
            yield block + b"\n\n"
    if rest:
        yield rest


async def websocket_frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The frames of a server (RFC 6455 §5.2), as they are; they are not masked."""
    try:
        while True:
            start = await reader.readexactly(2)
            length = start[1] & 0x7F
            extended = {126: 2, 127: 8}.get(length, 0)
            more = await reader.readexactly(extended)
            size = int.from_bytes(more, "big") if extended else length
            yield start + more + await reader.readexactly(size)
    except asyncio.IncompleteReadError:
        return
