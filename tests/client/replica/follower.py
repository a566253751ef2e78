"""A process that keeps a replica up to date until it is killed: URL, token, path; a line for each event."""

import asyncio
import sys

from veredus.client.client import Client
from veredus.client.replica import Replica


async def main(url: str, token: str, path: str) -> None:
    async with Client.connect(url, token=token) as client, await Replica.open(client, path) as replica:
        async for event in replica.follow():
            print(event.type, flush=True)


asyncio.run(main(*sys.argv[1:]))
