"""What it costs to send: ``make bench-sending``. Markdown for docs/benchmarks.md comes out.

A server as a process; client and SMTP sink are this one. Drafts are made beforehand; then each is submitted
by a request of its own (EmailSubmission/set with onSuccessUpdateEmail, 8 at a time), and the clock stops when
the sink has the last. CPU is that of the server's process. The undo window: how late, in seconds, a message
that was held for three reaches the sink. The dead host: CPU of the server while messages wait for it.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tools import smtp_sink
from tools.bench_server import HTTP, PASSWORD, ROOT, configure, run

DOMAIN = "bench.example"
ADDRESS = f"user@{DOMAIN}"
CLIENTS = 8
USING = [f"urn:ietf:params:jmap:{name}" for name in ("core", "mail", "submission")]
BODY = "All work and no play makes Jack a dull boy.\r\n" * 250
AIM_PER_S = 200
HELD_S = 3


class Timed(smtp_sink.Sink):
    """Notes when each message is there."""

    arrived: list[float] = []

    def data_received(self, data: bytes) -> None:
        before = smtp_sink.Sink.messages
        super().data_received(data)
        self.arrived += [time.time()] * (smtp_sink.Sink.messages - before)


class Client:
    """One user's program."""

    def __init__(self) -> None:
        limits = httpx.Limits(max_connections=CLIENTS)
        self.http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{HTTP}", auth=(ADDRESS, PASSWORD), limits=limits, timeout=120
        )
        self.account = ""

    async def call(self, method: str, **arguments: Any) -> Any:
        body = {"using": USING, "methodCalls": [[method, {"accountId": self.account, **arguments}, "c"]]}
        answer = (await self.http.post("/jmap", json=body)).raise_for_status().json()
        name, response, _ = answer["methodResponses"][0]
        if name == "error":
            sys.exit(f"{method}: {response}")
        return response

    async def begin(self) -> None:
        session = (await self.http.get("/.well-known/jmap", follow_redirects=True)).raise_for_status().json()
        self.account = session["primaryAccounts"][USING[1]]
        boxes = (await self.call("Mailbox/get", ids=None))["list"]
        self.boxes = {box["role"]: box["id"] for box in boxes}
        self.identity = (await self.call("Identity/get", ids=None))["list"][0]["id"]

    async def drafts(self, count: int) -> list[str]:
        """Emails of some 12 kB, each to one recipient."""
        made: list[str] = []
        while len(made) < count:
            create = {f"d{n}": self._draft(n) for n in range(min(100, count - len(made)))}
            answer = await self.call("Email/set", create=create)
            made += [email["id"] for email in answer["created"].values()]
        return made

    def _draft(self, number: int) -> Any:
        return {
            "mailboxIds": {self.boxes["drafts"]: True},
            "keywords": {"$draft": True},
            "from": [{"email": ADDRESS}],
            "to": [{"email": f"r{number}@sink.example"}],
            "subject": f"Message {number}",
            "bodyStructure": {"partId": "t", "type": "text/plain"},
            "bodyValues": {"t": {"value": BODY}},
        }

    async def submit(self, email: str, hold_s: int | None = None) -> None:
        submission: dict[str, Any] = {"identityId": self.identity, "emailId": email}
        if hold_s is not None:
            sender = {"email": ADDRESS, "parameters": {"HOLDFOR": str(hold_s)}}
            recipients = [{"email": "r@sink.example", "parameters": None}]
            submission["envelope"] = {"mailFrom": sender, "rcptTo": recipients}
        moved = {"keywords/$draft": None, "mailboxIds": {self.boxes["sent"]: True}}
        answer = await self.call(
            "EmailSubmission/set", create={"s": submission}, onSuccessUpdateEmail={"#s": moved}
        )
        if answer["notCreated"]:
            sys.exit(f"refused: {answer['notCreated']}")


def cpu_s(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def server(data: Path, sink_port: int, *, has_domain: bool) -> AsyncIterator[tuple[Client, int]]:
    """A running server that sends everything to the sink, and a client; its process id."""
    command = prepare(data, sink_port, has_domain=has_domain)
    with (data / "server.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, "serve", cwd=ROOT, stdout=log, stderr=log)
        client = Client()
        try:
            await _until(lambda: _is_up(client))
            await client.begin()
            yield client, process.pid
        finally:
            await client.http.aclose()
            process.terminate()
            await process.wait()


def prepare(data: Path, sink_port: int, *, has_domain: bool) -> list[str]:
    """A user, keys of the domain, the configuration; gives the beginning of a command line that uses it."""
    command = configure(data)
    with (data / "bench.toml").open("a") as config:
        config.write(f'[outgoing]\nurl = "smtp://127.0.0.1:{sink_port}"\n')
    run(
        [*command, "account", "add", ADDRESS, "--password-stdin"],
        input=PASSWORD.encode(),
        capture_output=True,
    )
    if has_domain:
        run([*command, "domain", "add", DOMAIN], capture_output=True)
    return command


async def _is_up(client: Client) -> bool:
    try:
        return (await client.http.get("/healthz")).is_success
    except httpx.TransportError:
        return False


async def _until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 300) -> None:
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)


async def _came(count: int) -> bool:
    return len(Timed.arrived) >= count


async def throughput(sink_port: int, count: int, *, has_domain: bool) -> str:
    """A row of the table: messages a second, and the server's CPU for each."""
    with tempfile.TemporaryDirectory() as directory:
        async with server(Path(directory), sink_port, has_domain=has_domain) as (client, pid):
            emails = await client.drafts(count)
            Timed.arrived.clear()
            waiting = iter(emails)

            async def work() -> None:
                for email in waiting:
                    await client.submit(email)

            began, used = time.time(), cpu_s(pid)
            await asyncio.gather(*(work() for _ in range(CLIENTS)))
            accepted_s = time.time() - began
            await _until(lambda: _came(count))
            sent_s = time.time() - began
            await asyncio.sleep(1)  # deliveryStatus of the last ones
            used = (cpu_s(pid) - used) / count
    name = "with DKIM (RSA and Ed25519)" if has_domain else "without DKIM"
    return (
        f"| {name} | {count / accepted_s:.0f} | {count / sent_s:.0f} | {used * 1000:.2f} | {1 / used:.0f} "
        f"| {AIM_PER_S} |"
    )


async def undo_window(sink_port: int, count: int) -> str:
    """How late messages come that were held, in the order of their submission."""
    late = []
    with tempfile.TemporaryDirectory() as directory:
        async with server(Path(directory), sink_port, has_domain=False) as (client, _):
            emails = await client.drafts(count)
            await client.submit(emails[0])
            for email in emails[1:]:
                await asyncio.sleep(0.137)
                Timed.arrived.clear()
                began = time.time()
                await client.submit(email, HELD_S)
                await _until(lambda: _came(1))
                late.append(Timed.arrived[0] - began - HELD_S)
    late.sort()
    return f"Held for {HELD_S} s, {len(late)} messages: sent {late[0]:.2f} to {late[-1]:.2f} s after that."


async def dead_host(count: int, seconds: float) -> str:
    """What waiting costs."""
    with tempfile.TemporaryDirectory() as directory:
        # Nobody listens on port 1 of loopback.
        async with server(Path(directory), 1, has_domain=False) as (client, pid):
            for email in await client.drafts(count):
                await client.submit(email)
            await asyncio.sleep(15)  # what comes after the first failure
            used = cpu_s(pid)
            await asyncio.sleep(seconds)
            busy = (cpu_s(pid) - used) / seconds
    return f"{count} messages wait for a dead host: {busy * 100:.2f} % of a core over {seconds:.0f} s."


async def main(count: int) -> None:
    loop = asyncio.get_running_loop()
    sink = await loop.create_server(Timed, "127.0.0.1", 0)
    port = sink.sockets[0].getsockname()[1]
    print("| submitted and relayed | accepted/s | relayed/s | CPU ms each | per core and s | aim |")
    print("|---|--:|--:|--:|--:|--:|")
    for has_domain in (False, True):
        print(await throughput(port, count, has_domain=has_domain), flush=True)
    print(f"\n{await undo_window(port, 12)}\n", flush=True)
    print(await dead_host(1000, 20))
    sink.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=2000)
    asyncio.run(main(parser.parse_args().messages))
