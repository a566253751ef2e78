"""As much of HTTP/1.1 (RFC 9112) as a proxy must understand to know where a message ends."""

import asyncio
from collections.abc import AsyncIterator

from msgspec import Struct

# Of the header section and of a line in a chunked body.
LINE_LIMIT = 4 * 1024 * 1024
_PIECE = 65_536


class Head(Struct):
    """The start line and the fields, in order."""

    line: bytes
    fields: list[tuple[bytes, bytes]]

    def get(self, name: bytes) -> bytes:
        """The value of a field, in lower case; empty: there is none."""
        return next((value.lower() for key, value in self.fields if key.lower() == name), b"")

    def without(self, *names: bytes) -> "Head":
        return Head(self.line, [(key, value) for key, value in self.fields if key.lower() not in names])

    def sized(self, length: int) -> "Head":
        """The same with a body of so many octets."""
        head = self.without(b"content-length", b"transfer-encoding")
        head.fields.append((b"content-length", b"%d" % length))
        return head

    def encode(self) -> bytes:
        return b"\r\n".join([self.line, *(b"%b: %b" % field for field in self.fields)]) + b"\r\n\r\n"

    @property
    def method(self) -> str:
        return self.line.split(b" ")[0].decode()

    @property
    def target(self) -> str:
        return self.line.split(b" ")[1].decode("latin-1")

    @property
    def status(self) -> int:
        return int(self.line.split(b" ")[1])

    @property
    def is_chunked(self) -> bool:
        return b"chunked" in self.get(b"transfer-encoding")

    @property
    def has_length(self) -> bool:
        return self.is_chunked or bool(self.get(b"content-length"))


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """The next header section; None: the other end has closed, or was cut in the middle of it."""
    try:
        line, *fields = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    pairs = (field.partition(b":") for field in fields)
    return Head(line, [(name, value.strip()) for name, _, value in pairs])


async def read_body(
    reader: asyncio.StreamReader, head: Head, *, until_close: bool = False
) -> AsyncIterator[bytes]:
    """The pieces of a body as they come, without the chunks' framing. Raises IncompleteReadError.

    ``until_close``: what a message without a length means (RFC 9112 §6.3): in a response all that comes.
    """
    if head.is_chunked:
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
    elif head.has_length:
        left = int(head.get(b"content-length"))
        while left:
            piece = await reader.read(min(left, _PIECE))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
            yield piece
    elif until_close:
        while piece := await reader.read(_PIECE):
            yield piece


def framed(head: Head, piece: bytes) -> bytes:
    """A piece of a body as ``head`` announces it; of a chunked body an empty one is the end."""
    return b"%x\r\n%b\r\n" % (len(piece), piece) if head.is_chunked else piece
