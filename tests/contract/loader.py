"""A process that loads account A from a file, and is killed on the way: ``loader KIND DIRECTORY FILES PIECES``.

``PIECES``: before it would take the next one; "purge": when all is there, and the account that was before it
would be removed.
"""

import asyncio
import os
import signal
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

from contract.stores import STORES, FakeClock
from veredus.ports.moving import Pieces
from veredus.store import moving, sqlite_moving
from veredus.store.dump_files import DumpFiles
from veredus.store.postgres import moving as postgres_moving


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def load(kind: str, directory: Path, files: Path, step: str) -> None:
    moving.PIECES_AT_ONCE = 1
    left = -1 if step == "purge" else int(step)
    if step == "purge":
        for module in (sqlite_moving, postgres_moving):
            module.purge = die  # type: ignore[assignment]

    async def dump(place: str | None) -> Pieces:
        nonlocal left
        async with aclosing(DumpFiles(files).dump("A", place)) as pieces:
            async for piece in pieces:
                if left == 0:
                    die()
                left -= 1
                yield piece

    store: Any = await STORES[kind](directory, FakeClock())
    await store.load("A", dump)
    await store.close()


if __name__ == "__main__":
    asyncio.run(load(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
