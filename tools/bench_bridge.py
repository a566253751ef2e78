"""`make bench-bridge`: what the bridge costs, and how long it takes; writes its part of docs/benchmarks.md.

A server, a `nats-server` and the bridge (as `jmap2nats`) run as processes of their own, with their files in
a temporary directory; this process fills the account, and looks at the stream.
"""

import argparse
import asyncio
import base64
import json
import os
import platform
import random
import smtplib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import nats
from nats.js import JetStreamContext

from tools.bench_page import PAGE, machine
from tools.bench_server import PASSWORD, ROOT, Target, add_accounts, memory, server
from veredus.bus.nats_server import binary
from veredus.client.client import Client

NATS = 14230
BEGIN, END = "<!-- bridge: begin -->", "<!-- bridge: end -->"
# Two parts of 12 kB on average: a text, and something attached.
TEXT, ATTACHED = 4_000, 20_000
BATCH = 100
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    args = _arguments()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for count in args.backlogs:
        _measured(
            args, f"backlog {count}", lambda ours, nats, dir, count=count: _backlog(ours, nats, dir, count)
        )
    _measured(args, "latency", lambda ours, nats, dir: _latency(ours, nats, dir, args.mails))
    write(json.loads(args.out.read_text()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-bridge", description=__doc__)
    parser.add_argument("--backlogs", type=int, nargs="*", default=[5_000], help="mails to catch up with")
    parser.add_argument("--mails", type=int, default=300, help="mails for the latency")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench-bridge.json", help="all results")
    return parser.parse_args()


def _measured(args: argparse.Namespace, key: str, measure: Any) -> None:
    """One measurement, on servers of its own."""
    print(f"=== {key}", flush=True)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        add_accounts(directory / "data", ["bench0"])
        ours = stack.enter_context(server(directory / "data", args.out))
        nats_process = stack.enter_context(_nats_server(directory))
        found = asyncio.run(measure(ours, nats_process, directory))
    print(found, flush=True)
    ours.note(key, found)
    ours.note("host", {"time": time.asctime(), "python": platform.python_version()})


@contextmanager
def _nats_server(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(binary()), "-js", "-sd", str(directory / "nats"), "-a", "127.0.0.1", "-p", str(NATS)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", NATS)) == 0:
                    break
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _bridge(directory: Path, ours: Target) -> Iterator[subprocess.Popen[bytes]]:
    """The program as it takes over from jmap2nats, with a stream large enough for everything."""
    config = {
        "jmap": {"session_url": ours.url, "token_file": str(directory / "token")},
        "nats": {"url": f"nats://127.0.0.1:{NATS}"},
        "stream": {"max_bytes": "8GiB"},
        "parts": {"max_bytes": "8GiB"},
    }
    path = directory / "jmap2nats.json"
    path.write_text(json.dumps(config))
    with (directory / "bridge.log").open("wb") as log:
        command = [sys.executable, "-m", "veredus.cli.jmap2nats", "-config", str(path)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@asynccontextmanager
async def _stream() -> AsyncIterator[JetStreamContext]:
    connection = await nats.connect(f"nats://127.0.0.1:{NATS}")
    try:
        yield connection.jetstream()
    finally:
        await connection.close()


async def _backlog(
    ours: Target, nats_process: subprocess.Popen[bytes], directory: Path, count: int
) -> dict[str, float]:
    """The bridge knows the account empty, is away while it fills, and catches up by Email/changes."""
    _token(directory, ours)
    with _bridge(directory, ours):
        await _cursor_stands()
    await _fill(ours, count)
    pids = {"server": int(ours.process[1]), "nats-server": nats_process.pid}
    with _bridge(directory, ours) as process:
        pids["bridge"] = process.pid
        began = await _messages_reach(1)
        before = {name: _cpu_s(pid) for name, pid in pids.items()}
        ended = await _messages_reach(count)
        cpu = {name: (_cpu_s(pid) - before[name]) / count * 1000 for name, pid in pids.items()}
        peak = memory(str(process.pid))["peak_mb"]
    return {
        "mails_per_s": count / (ended - began),
        "peak_mb": peak,
        **{f"cpu_ms_{name}": value for name, value in cpu.items()},
    }


async def _latency(
    ours: Target, nats_process: subprocess.Popen[bytes], directory: Path, mails: int
) -> dict[str, float]:
    """From the answer of LMTP to the message at a subscriber; one mail at a time, at random moments."""
    del nats_process
    _token(directory, ours)
    with _bridge(directory, ours):
        await _cursor_stands()
        connection = await nats.connect(f"nats://127.0.0.1:{NATS}")
        arrived: asyncio.Queue[float] = asyncio.Queue()

        async def take(_: object) -> None:
            arrived.put_nowait(time.perf_counter())

        await connection.subscribe("jmap.email.>", cb=take)
        await connection.flush()
        times = []
        for number in range(mails):
            accepted = await asyncio.to_thread(_deliver, ours, number)
            times.append((await asyncio.wait_for(arrived.get(), 30) - accepted) * 1000)
            await asyncio.sleep(random.uniform(0.12, 0.3))
        await connection.close()
    times.sort()
    return {"p50_ms": statistics.median(times), "p99_ms": times[int(len(times) * 0.99)], "mails": mails}


def _deliver(ours: Target, number: int) -> float:
    host, port = ours.lmtp.split(":")
    with smtplib.LMTP(host, int(port)) as lmtp:
        lmtp.sendmail("bench@example.com", [ours.user("bench0")], _message(number))
        return time.perf_counter()


def _message(number: int) -> bytes:
    text = "\r\n".join(f"{number} lorem ipsum dolor sit amet {random.random()}" for _ in range(TEXT // 50))
    attached = base64.encodebytes(random.randbytes(ATTACHED)).replace(b"\n", b"\r\n")
    head = (
        f"From: Bob {number} <bob@example.com>\r\nTo: bench0@localhost\r\nSubject: mail {number}\r\n"
        f"Message-ID: <{number}.{random.getrandbits(60)}@example.com>\r\nMIME-Version: 1.0\r\n"
        "Date: Mon, 2 Mar 2026 10:00:00 +0100\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        f"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n--b\r\n"
        "Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=a.bin\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    return head.encode() + attached + b"\r\n--b--\r\n"


async def _fill(ours: Target, count: int) -> None:
    async with Client.connect(ours.url, basic=(ours.user("bench0"), PASSWORD)) as client:
        inbox = (await client.call("Mailbox/query", {"filter": {"role": "inbox"}}))["ids"][0]
        for begin in range(0, count, BATCH):
            numbers = range(begin, min(count, begin + BATCH))
            blobs = await asyncio.gather(*(client.upload(_message(n), "message/rfc822") for n in numbers))
            emails = {
                f"k{n}": {"blobId": blob.blob_id, "mailboxIds": {inbox: True}}
                for n, blob in zip(numbers, blobs, strict=True)
            }
            answer = await client.call("Email/import", {"emails": emails})
            if answer.get("notCreated"):
                sys.exit(f"not imported: {answer['notCreated']}")


def _token(directory: Path, ours: Target) -> None:
    """A token for bench0, as jmap2nats wants it."""
    command = [
        sys.executable,
        "-m",
        "veredus",
        "--config",
        str(directory / "data" / "bench.toml"),
        "token",
        "create",
    ]
    shown = subprocess.run(
        [*command, ours.user("bench0"), "--name", "bridge", "--json"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (directory / "token").write_text(json.loads(shown.stdout)["token"])


async def _cursor_stands() -> None:
    """Returns when the bridge has begun."""
    async with _stream() as stream:
        for _ in range(600):
            try:
                info = await stream.stream_info("KV_JMAP_EMAILS_CURSOR")
                if info.state.messages:
                    return
            except nats.js.errors.NotFoundError:
                pass
            await asyncio.sleep(0.05)
    sys.exit("the bridge does not begin")


async def _messages_reach(count: int) -> float:
    """When the stream has so many messages."""
    async with _stream() as stream:
        while True:
            found = await stream.stream_info("JMAP_EMAILS")
            if found.state.messages >= count:
                return time.perf_counter()
            await asyncio.sleep(0.02 if count == 1 else 0.1)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def write(ours: dict[str, Any]) -> None:
    """Replace what stands between the marks; print it, too."""
    own = ours["own"]
    lines = [
        BEGIN,
        machine(own),
        "\nIn bold what misses the aim.\n",
        "| what | aim | measured |",
        "|---|--:|--:|",
    ]
    latency = own["latency"]
    lines += [
        _row("LMTP accepted to event in JetStream, p50, ms", 30, latency["p50_ms"]),
        _row("... p99, ms", 200, latency["p99_ms"]),
    ]
    for key, found in own.items():
        if key.startswith("backlog"):
            count, rate = int(key.split()[1]), found["mails_per_s"]
            what = f"catching up with {count:,} mails, each with two parts of 12 kB on average, mails/s"
            shown = f"{rate:,.0f}" if rate >= 500 else f"**{rate:,.0f}**"
            lines += [
                f"| {what} | >= 500 | {shown} |",
                _row("... resident memory at its peak, MB", 150, found["peak_mb"]),
                *(
                    _row(f"... CPU of the {name} for each mail, ms", None, found[f"cpu_ms_{name}"])
                    for name in ("bridge", "server", "nats-server")
                ),
            ]
    measured = "\n".join([*lines, END])
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(head + measured + rest.partition(END)[2])
    print(measured)


def _row(what: str, aim: float | None, value: float) -> str:
    shown = f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
    shown = f"**{shown}**" if aim is not None and value > aim else shown
    return f"| {what} | {'' if aim is None else f'{aim:g}'} | {shown} |"


if __name__ == "__main__":
    main()
