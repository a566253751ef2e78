"""Octets between a server and files or pipes (RFC 8620 §6)."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from veredus.cli.common import EXIT_USAGE, Failure
from veredus.cli.jmap import text

if TYPE_CHECKING:
    from veredus.client import Client

_CHUNK = 256 * 1024


async def upload(client: "Client", file: Path, type: str, account: str | None) -> None:
    """Print what the server says of the blob."""
    import msgspec

    data = _standard_input() if file == Path("-") else file
    text.write(msgspec.to_builtins(await client.upload(data, type, account=account)))


async def _standard_input() -> AsyncIterator[bytes]:
    import asyncio

    while chunk := await asyncio.to_thread(sys.stdin.buffer.read, _CHUNK):
        yield chunk


async def download(client: "Client", blob: str, output: Path | None, account: str | None) -> None:
    """Into a new file (in a directory, named after the blob), or to standard output. Raises Failure."""
    if output is None:
        if sys.stdout.isatty():
            raise Failure("octets are not for a terminal: --output FILE, or a pipe", EXIT_USAGE)
        async with client.download(blob, account=account) as stream:
            async for chunk in stream:
                sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    from veredus.client.mail.files import save

    try:
        await save(client.download(blob, account=account), output, blob)
    except FileExistsError:
        raise Failure(f"{output} is there already - name a new one, or move it away first") from None
