"""Random histories against a naive model, and writers that are killed (invariants 1, 2 and 7 of the design)."""

import asyncio
import itertools
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.stores import DURABLE, STORES, FakeClock, message, opened
from veredus.ports import Snapshot, Store, Transaction

# What happens to one of few records, so that the same one is hit again and again.
actions = st.tuples(
    st.sampled_from(["put", "size", "tags", "delete"]),
    st.sampled_from(["a", "b", "c", "d"]),
    st.integers(0, 3),
)
transactions = st.lists(st.tuples(st.lists(actions, max_size=5), st.booleans()), min_size=1, max_size=8)


class Undone(Exception):
    """Ends a transaction that shall not count."""


async def act(tx: Transaction, records: dict[str, Any], action: tuple[str, str, int]) -> None:
    """Do something to the store and to the model, if it can be done."""
    kind, id, number = action
    if kind == "put":
        record = message(id, size=number)
        await tx.put("Message", record)
        # A record that is put again keeps its place.
        records[id] = record
    elif id not in records:
        with pytest.raises(KeyError):
            await (tx.delete("Message", id) if kind == "delete" else tx.update("Message", id, {"size": 1}))
    elif kind == "delete":
        await tx.delete("Message", id)
        del records[id]
    else:
        properties = {"size": number} if kind == "size" else {"tags": {f"k{number}": True}}
        await tx.update("Message", id, properties)
        records[id] = records[id] | properties


async def transact(
    store: Store, account: str, past: dict[int, dict[str, Any]], steps: Any, commits: bool
) -> None:
    """One transaction; ``past`` gets what the records are at the state after it."""
    records = dict(past[max(past)])
    try:
        async with store.write(account) as tx:
            for action in steps:
                await act(tx, records, action)
            if not commits:
                raise Undone
    except Undone:
        return
    async with store.read(account) as snapshot:
        past[await snapshot.state("Message")] = records


async def replay(snapshot: Snapshot, since: int, cached: dict[str, Any], limit: int) -> dict[str, Any]:
    """A client that follows /changes page by page, and fetches what it is told of."""
    cached = dict(cached)
    while True:
        page = await snapshot.changes("Message", since, limit)
        assert page is not None
        told = [*page.created, *page.updated, *page.destroyed]
        assert len(told) == len(set(told)) <= limit
        assert page.new_state > since or not told
        for id in page.destroyed:
            cached.pop(id, None)
        for record in await snapshot.get("Message", [*page.created, *page.updated]):
            known = cached.get(record["id"])
            if known is not None and page.names is not None and record["id"] in page.updated:
                record = known | {name: record[name] for name in page.names}
            cached[record["id"]] = record
        since = page.new_state
        if not page.has_more:
            return cached


async def check_history(store: Store, account: str, history: Any) -> None:
    past: dict[int, dict[str, Any]] = {0: {}}
    for steps, commits in history:
        await transact(store, account, past, steps, commits)
    now = past[max(past)]
    async with store.read(account) as snapshot:
        assert {record["id"]: record for record in await snapshot.get("Message", None)} == now
        for since, cached in past.items():
            for limit in (1, 2, 3, 50):
                assert await replay(snapshot, since, cached, limit) == now
            whole = await snapshot.changes("Message", since, 50)
            assert whole is not None
            assert set(whole.created) == now.keys() - cached.keys()
            assert set(whole.destroyed) == cached.keys() - now.keys()
            assert (
                {id for id in now if id in cached and now[id] != cached[id]} <= set(whole.updated) <= set(now)
            )


@pytest.mark.parametrize("name", STORES)
def test_replaying_changes_from_any_state_gives_the_records(name: str) -> None:
    accounts = itertools.count()

    @settings(max_examples=60)
    @given(history=transactions)
    def agrees(history: Any) -> None:
        runner.run(check_history(store, f"A{next(accounts)}", history))

    context = opened(name)
    with asyncio.Runner() as runner:
        store = runner.run(context.__aenter__())
        try:
            agrees()
        finally:
            runner.run(context.__aexit__(None, None, None))


# ---------------------------------------------------------------- killed writers

# VEREDUS_KILLS=500 for a longer run.
ROUNDS = int(os.environ.get("VEREDUS_KILLS", "8"))

_WRITER = """
import asyncio, sys
from pathlib import Path
from contract.stores import DURABLE, FakeClock, message

async def write(store, account, start):
    number = start
    while True:
        async with store.write(account) as tx:
            await tx.put("Message", message(f"{account}{number}", number), {"subject": "word", "body": "more words"})
            await tx.put("Box", {"id": f"{account}{number}", "name": "x"})
            if number >= start + 3:
                await tx.update("Message", f"{account}{number - 1}", {"tags": {"k": True}})
                await tx.delete("Message", f"{account}{number - 3}")
        sys.stdout.write(f"{account} {number}\\n")
        sys.stdout.flush()
        number += 1

async def main(name, directory, start):
    store = await DURABLE[name](Path(directory), FakeClock())
    await asyncio.gather(*(write(store, account, start) for account in "PQRS"))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def kill_a_writer(name: str, directory: Path, start: int, after_s: float) -> dict[str, int]:
    """The last number that was acknowledged to each writer before the process died."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, name, str(directory), str(start),
        stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
    )  # fmt: skip
    assert child.stdout is not None
    first = await child.stdout.readline()
    await asyncio.sleep(after_s)
    child.send_signal(signal.SIGKILL)
    lines = [first, *(await child.stdout.read()).splitlines(keepends=True)]
    await child.wait()
    acknowledged: dict[str, int] = {}
    for line in lines:
        if line.endswith(b"\n"):
            account, number = line.decode().split()
            acknowledged[account] = int(number)
    return acknowledged


async def check_after_kill(store: Store, acknowledged: dict[str, int], start: int) -> int:
    """Nothing acknowledged is lost and nothing is half there; the highest number that is there."""
    assert await store.check() == []
    highest = start
    for account in "PQRS":
        async with store.read(account) as snapshot:
            boxes = [n for id in await snapshot.select("Box") if (n := int(id[1:])) >= start]
            messages = [n for id in await snapshot.select("Message") if (n := int(id[1:])) >= start]
        last = start + len(boxes) - 1
        assert last >= acknowledged.get(account, 0)
        assert sorted(boxes) == list(range(start, last + 1))
        assert sorted(messages) == boxes[-3:]
        highest = max(highest, last)
    return highest


@pytest.mark.parametrize("name", DURABLE)
async def test_a_killed_writer_loses_nothing_it_acknowledged(name: str, tmp_path: Path) -> None:
    start = 1
    chance = random.Random(0)
    await (await DURABLE[name](tmp_path, FakeClock())).close()
    for _ in range(ROUNDS):
        acknowledged = await kill_a_writer(name, tmp_path, start, chance.random() * 0.05)
        assert acknowledged
        store = await DURABLE[name](tmp_path, FakeClock())
        start = await check_after_kill(store, acknowledged, start) + 10
        await store.close()
