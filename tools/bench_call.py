"""`make bench-client`, first part: what a call of the client costs over aiohttp alone.

The same request, answered with 20 KB by our server in another process; CPU time of this process.
"""

import argparse
import asyncio
import gc
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from veredus.client import Client, Email
from veredus.pytest_plugin.server import JmapServer

PROPERTIES = [
    "id",
    "threadId",
    "mailboxIds",
    "keywords",
    "receivedAt",
    "subject",
    "from",
    "to",
    "preview",
    "size",
]
OCTETS = 20_000
LIMIT_MS = 0.25


def serve(pipe: Connection) -> None:
    """A server with one account and more Emails than an answer holds; until the pipe ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with JmapServer() as server:
        account = server.add_account("alice@example.com")
        for n in range(60):
            text = b"From: Bob Example <bob@example.org>\nTo: alice@example.com\nSubject: message %d\n\n%b\n"
            server.deliver(text % (n, b"some words of text " * 12), account.address)
        pipe.send((server.session_url, account.address, account.password))
        pipe.recv()


def cpu_ms(runs: int, seconds: float) -> float:
    return seconds * 1000 / runs


async def measured(runs: int, work: Callable[[], Awaitable[Any]]) -> float:
    """CPU milliseconds of one run."""
    gc.collect()
    began = time.process_time()
    for _ in range(runs):
        await work()
    return cpu_ms(runs, time.process_time() - began)


async def compare(url: str, user: str, password: str, runs: int, rounds: int) -> dict[str, Any]:
    """``octets`` of the answer, and ``ms`` of CPU by what was called."""
    async with Client.connect(url, basic=(user, password)) as client, aiohttp.ClientSession() as http:
        ids = [id async for id in client.query(Email, limit=60).ids()]
        ids = await _filling(client, ids)
        call = [
            "Email/get",
            {"accountId": client.account_for("Email"), "ids": ids, "properties": PROPERTIES},
            "0",
        ]
        using = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"]
        body = msgspec.json.encode({"using": using, "methodCalls": [call]})
        headers = {"Content-Type": "application/json", **await client.connection.authorization()}
        answered = 0

        async def bare() -> None:
            nonlocal answered
            async with http.post(client.session.api_url, data=body, headers=headers) as response:
                answered = len(await response.read())

        async def bare_json() -> None:
            async with http.post(client.session.api_url, data=body, headers=headers) as response:
                msgspec.json.decode(await response.read())

        async def ours() -> None:
            await client.get(Email, ids, PROPERTIES)

        works = {"aiohttp": bare, "aiohttp and msgspec.json": bare_json, "client.get": ours}
        for work in works.values():
            await measured(runs // 4, work)
        # In turn, so that what else the machine does falls on all of them.
        times: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(rounds):
            for name, work in works.items():
                times[name].append(await measured(runs, work))
        return {"octets": answered, "ms": {name: statistics.median(each) for name, each in times.items()}}


async def _filling(client: Client, ids: list[str]) -> list[str]:
    """So many of ``ids`` that the answer is of about OCTETS."""
    got = await client.get(Email, ids, PROPERTIES)
    one = len(msgspec.json.encode([record.json for record in got.list])) / len(ids)
    return ids[: round(OCTETS / one)]


def report(octets: int, ms: dict[str, float]) -> None:
    print(f"CPU of a call with an answer of {octets} octets, median of rounds:")
    for name, each in ms.items():
        print(f"  {name:26} {each:6.3f} ms   x {each / ms['aiohttp']:.2f}   + {each - ms['aiohttp']:.3f} ms")
    over = ms["client.get"] - ms["aiohttp"]
    print(f"  over aiohttp alone: {over:.3f} ms; the aim is at most {LIMIT_MS} ms")


def main() -> None:
    """Start the server, compare, stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400, help="calls in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("build/bench-client.json"), help="all results")
    args = parser.parse_args()
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        url, user, password = ours.recv()
        found = asyncio.run(compare(url, user, password, args.runs, args.rounds))
    finally:
        ours.send(None)
        process.join(10)
    report(**found)
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    results.setdefault("own", {})["call"] = found
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
