"""`make bench-client`, second part: what `watch` and `Replica` take; writes its part of docs/benchmarks.md.

A server runs as a process of its own, with its files in a temporary directory; so does the writer of changes
that are watched as they come. Rates and CPU are those of this process, the client.
"""

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tools.bench_call import LIMIT_MS
from tools.bench_page import PAGE, machine
from tools.bench_server import PASSWORD, ROOT, Target, add_accounts, server
from veredus.client import Client, Email, Replica, SqliteCursor, Updated

BEGIN, END = "<!-- client: begin -->", "<!-- client: end -->"
OUT = ROOT / "build" / "bench-client.json"
USER = "bench0"
# What a program that files mail would look at.
PROPERTIES = ["subject", "from", "receivedAt", "mailboxIds", "keywords", "preview"]
BATCH = 200
AIM_PER_S = 2_000
SEARCHES = ("invoice from:bob", "17 invoice", "is:unread larger:1K")
TEXT = (
    "From: Bob <bob@example.org>\r\nTo: bench0@localhost\r\nSubject: invoice {}\r\n"
    "Date: Mon, 2 Mar 2026 10:00:00 +0100\r\n\r\n" + "some words of a body, and more of them\r\n" * 20
)


def main() -> None:
    """Measure, keep the results, write the page."""
    parser = argparse.ArgumentParser(prog="make bench-client", description=__doc__)
    parser.add_argument("--mails", type=int, default=10_000, help="in the account")
    parser.add_argument("--rate", type=int, default=2_500, help="changes a second, written while watched")
    parser.add_argument("--seconds", type=int, default=10, help="for so long")
    parser.add_argument("--out", type=Path, default=OUT, help="all results")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        add_accounts(directory / "data", [USER])
        ours = stack.enter_context(server(directory / "data", args.out))
        asyncio.run(measure(ours, directory, args))
    write(json.loads(args.out.read_text()))


async def measure(ours: Target, directory: Path, args: argparse.Namespace) -> None:
    async with opened(ours.url) as client:
        ids = await fill(client, args.mails)
        for name, properties in (("the id alone", ["id"]), ("six properties", PROPERTIES)):
            found = await catch_up(client, directory / f"{name}.db", ids, properties)
            ours.note(f"catch-up: {name}", found)
        ours.note("live", await live(client, directory / "live.db", ours.url, args.rate, args.seconds))
        ours.note("replica", await replicate(client, directory / "a.db", len(ids)))
        ours.note("replica with bodies", await replicate(client, directory / "b.db", len(ids), bodies=True))
    ours.note("host", {"time": time.asctime(), "python": platform.python_version()})


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Client]:
    async with Client.connect(url, basic=(f"{USER}@localhost", PASSWORD)) as client:
        yield client


async def fill(client: Client, count: int) -> list[str]:
    """Ids of new Emails in the inbox."""
    inbox = (await client.call("Mailbox/query", {"filter": {"role": "inbox"}}))["ids"][0]
    ids: list[str] = []
    for begin in range(0, count, BATCH):
        numbers = range(begin, min(count, begin + BATCH))
        texts = [TEXT.format(number).encode() for number in numbers]
        blobs = await asyncio.gather(*(client.upload(text, "message/rfc822") for text in texts))
        emails = {
            str(number): {"blobId": blob.blob_id, "mailboxIds": {inbox: True}}
            for number, blob in zip(numbers, blobs, strict=True)
        }
        answer = await client.call("Email/import", {"emails": emails})
        ids += [created["id"] for created in answer["created"].values()]
    return ids


async def change(client: Client, ids: list[str], keyword: str) -> None:
    for at in range(0, len(ids), BATCH):
        update = {id: {f"keywords/{keyword}": True} for id in ids[at : at + BATCH]}
        await client.set("Email", update=update)


async def catch_up(client: Client, path: Path, ids: list[str], properties: list[str]) -> dict[str, float]:
    """Every Email changed while nobody watched; each event is acknowledged, the cursor is in SQLite."""
    async with SqliteCursor(path) as cursor:
        options: Any = {"cursor": cursor, "properties": properties}
        await begin(client, cursor, options)
        await change(client, ids, f"k{len(properties)}")
        clock = Clock()
        async with aclosing(client.watch(Email, **options)) as events:
            for _ in ids:
                event = await anext(events)
                assert isinstance(event, Updated)
                await event.ack()
        return clock.of(len(ids))


async def begin(client: Client, cursor: SqliteCursor, options: Any) -> None:
    """Changes from now on are those that are told."""
    key = f"watch/{client.session.username}/{client.account_for('Email')}/Email"
    async with aclosing(client.watch(Email, **options)) as events:
        waiting = asyncio.create_task(anext(events))
        while await cursor.load(key) is None:  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])


class Clock:
    """Time and CPU of this process from now on."""

    def __init__(self) -> None:
        self._began, self._cpu = time.perf_counter(), time.process_time()

    def of(self, count: int) -> dict[str, float]:
        """For each of ``count``."""
        cpu, took = time.process_time() - self._cpu, time.perf_counter() - self._began
        return {"count": count, "per_s": count / took, "cpu_us": cpu / count * 1e6, "took_s": took}


async def live(client: Client, path: Path, url: str, rate: int, seconds: int) -> dict[str, float]:
    """Changes come at a rate, and push tells of them."""
    total = rate * seconds // BATCH * BATCH
    seen: set[tuple[str, str]] = set()
    context = get_context("spawn")
    here, there = context.Pipe()
    writer = context.Process(target=write_changes, args=(there, url, rate, total), daemon=True)
    options: Any = {"properties": ["keywords", "mailboxIds", "subject"]}
    async with (
        SqliteCursor(path) as cursor,
        aclosing(client.watch(Email, cursor=cursor, **options)) as events,
    ):
        first = asyncio.create_task(anext(events))
        await asyncio.to_thread(writer.start)
        event, clock = await first, Clock()
        while True:
            names = event.record["keywords"]
            seen |= {(event.record.id, name) for name in names if name.startswith("live")}
            await event.ack()
            if len(seen) == total:
                break
            event = await anext(events)
        ended = time.monotonic()
        found = clock.of(total)
    began, written = await asyncio.to_thread(here.recv)
    await asyncio.to_thread(writer.join, 30)
    return {**found, "written_per_s": total / (written - began), "behind_s": ended - written}


def write_changes(pipe: Connection, url: str, rate: int, total: int) -> None:
    """In another process. Tells when it began and ended, by the clock that all processes share."""

    async def run() -> tuple[float, float]:
        async with opened(url) as client:
            ids = [id async for id in client.query(Email).ids()]
            began = time.monotonic()
            for done in range(0, total, BATCH):
                some = [ids[(done + n) % len(ids)] for n in range(BATCH)]
                await asyncio.sleep(began + done / rate - time.monotonic())
                await change(client, some, f"live{done // len(ids)}")
            return began, time.monotonic()

    pipe.send(asyncio.run(run()))


async def replicate(client: Client, path: Path, count: int, *, bodies: bool = False) -> dict[str, float]:
    """A first sync, one that finds nothing, and searches (the slowest of SEARCHES)."""
    async with await Replica.open(client, path, {"Email": None}, bodies=bodies) as replica:
        clock = Clock()
        await replica.sync()
        found = clock.of(count)
        clock = Clock()
        await replica.sync()
        found["again_ms"] = clock.of(1)["took_s"] * 1000
        times = []
        for search in SEARCHES:
            clock = Clock()
            await replica.search(search, limit=20)
            times.append(clock.of(1)["took_s"] * 1000)
        found["search_ms"] = max(times)
    return found | {"octets": await asyncio.to_thread(os.path.getsize, path) / count}


def write(results: dict[str, Any]) -> None:
    """Replace what stands between the marks; print it, too."""
    own = results["own"]
    head = [
        BEGIN,
        machine(own),
        "\nIn bold what misses the aim.\n",
        "| what | aim | measured |",
        "|---|--:|--:|",
    ]
    measured = "\n".join([*head, *rows(own), END])
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + measured + rest.partition(END)[2])
    print(measured)


def rows(own: dict[str, Any]) -> Iterator[str]:
    if "call" in own:
        call = own["call"]
        over = call["ms"]["client.get"] - call["ms"]["aiohttp"]
        what = f"a call answered with {call['octets'] / 1000:.0f} kB, CPU over aiohttp alone, ms"
        yield row(what, f"<= {LIMIT_MS}", f"{over:.3f}", missed=over > LIMIT_MS)
    for key, found in own.items():
        if key.startswith("catch-up"):
            what = f"`watch` catching up with {found['count']:,} changes, {key.partition(': ')[2]}, changes/s"
            yield rate_row(what, found["per_s"])
            yield row("... CPU of the client for each, us", "", f"{found['cpu_us']:.0f}")
    live = own["live"]
    yield rate_row("`watch` while changes come, changes/s", min(live["written_per_s"], live["per_s"]))
    yield row("... the last is told after it was written, s", "", f"{live['behind_s']:.2f}")
    yield row("... CPU of the client for each, us", "", f"{live['cpu_us']:.0f}")
    for key in ("replica", "replica with bodies"):
        found = own[key]
        yield row(f"{key}, first sync of {found['count']:,} Emails, Emails/s", "", f"{found['per_s']:,.0f}")
        yield row("... CPU of the client for each, us", "", f"{found['cpu_us']:.0f}")
        yield row("... in the file, octets for each", "", f"{found['octets']:,.0f}")
        yield row("... sync when nothing is new, ms", "", f"{found['again_ms']:.1f}")
        yield row(f"... the slowest of {len(SEARCHES)} searches, ms", "", f"{found['search_ms']:.1f}")


def rate_row(what: str, per_s: float) -> str:
    return row(what, f">= {AIM_PER_S:,}", f"{per_s:,.0f}", missed=per_s < AIM_PER_S)


def row(what: str, aim: str, value: str, *, missed: bool = False) -> str:
    return f"| {what} | {aim} | {f'**{value}**' if missed else value} |"


if __name__ == "__main__":
    main()
