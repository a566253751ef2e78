"""Somebody who works under a lease, now and then for longer than he has it: ``holder.py CONFIG NAME SEED``.

A program of its own, so that it can be paused. Each write puts its lease and its own number at the end of one
list; a line on standard output tells of each. It ends when it is killed.
"""

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

from veredus.app import App, open_app
from veredus.config import load
from veredus.ports import Lease, LeaseLost, Unavailable

ACCOUNT, TYPE, ID, LEASE = "fencing", "Upload", "written", "work"
_TTL_S = 1.0


async def written(app: App) -> list[list[Any]]:
    """``[token, holder, number]`` of each write, in order."""
    async with app.store.read(ACCOUNT) as snapshot:
        return _entries(await snapshot.get(TYPE, [ID]))


def _entries(records: list[dict[str, Any]]) -> list[list[Any]]:
    return list(records[0]["entries"]) if records else []


async def _hold(app: App, holder: str, chance: random.Random) -> None:
    number = 0
    while True:
        try:
            lease = await app.store.acquire(LEASE, holder, _TTL_S)
        except Unavailable:
            lease = None
        if lease is None:
            await asyncio.sleep(0.2)
            continue
        for _ in range(chance.randint(1, 4)):
            await asyncio.sleep(chance.choice([0.05, 0.3, 0.6]))
            number += 1
            outcome = await _write(app, lease, number)
            print(json.dumps([lease.token, holder, number, outcome]), flush=True)
        if chance.random() < 0.3:
            try:
                await app.store.release(lease)
            except Unavailable:
                continue


async def _write(app: App, lease: Lease, number: int) -> str:
    try:
        async with app.store.write(ACCOUNT, lease) as tx:
            entries = _entries(await tx.get(TYPE, [ID]))
            await tx.put(TYPE, {"id": ID, "entries": [*entries, [lease.token, lease.holder, number]]})
    except LeaseLost:
        return "refused"
    except Unavailable:
        return "unknown"
    return "done"


async def main() -> None:
    config, holder, seed = sys.argv[1:4]
    while True:
        try:
            async with open_app(load(Path(config), {}).config, types=[]) as app:
                await _hold(app, holder, random.Random(f"{seed} {holder}"))
        except Unavailable:
            await asyncio.sleep(0.3)


if __name__ == "__main__":
    asyncio.run(main())
