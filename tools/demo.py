"""``make demo``: mail that is sent in appears as events in NATS, all on this machine.

Starts a server, a nats-server and the bridge between them, reads the two streams with ``MailStream`` and
``EventStream``, and sends some mail, with an attachment, a flag and a move. ``--once``: end when all was
seen.
"""

import argparse
import asyncio
import json
import math
import signal
import smtplib
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path

import nats
from nats.aio.client import Client as Nats

from veredus.bridge.consumer import Event, EventStream, Mail, MailStream
from veredus.bus.nats_server import binary
from veredus.client.client import Client

USER, PASSWORD = "alice@localhost", "alice"
# Ports that people know, where they are free.
USUAL = {"http": 8580, "lmtp": 2424, "smtp": 2525, "nats": 4222}
START_S, ALL_S, STOP_S = 60, 90, 15
# The child ends with us, however we end; on other systems than Linux only when we end in order.
CHILD = """\
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)  # PR_SET_PDEATHSIG, SIGTERM
os.execv(sys.argv[1], sys.argv[1:])
"""
TRACKS = {"emails/Email", "events/Email", "events/Mailbox"}
FLAG = "a flag in JMAP_EVENTS"
CSV = "position;amount\nHay for one post-horse;42.00\n"


class DemoFailed(Exception):
    """Says what did not work, and where to look."""


class Children:
    """Processes of this demo, each with a log in the directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[tuple[str, asyncio.subprocess.Process]] = []

    async def start(self, name: str, *command: str | Path) -> None:
        with (self._directory / f"{name}.log").open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-ISc", CHILD, *map(str, command)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                start_new_session=True,  # Ctrl-C is for us, who end them one after the other
            )
        self._running.append((name, child))

    async def wait_for(self, port: int) -> None:
        """Until somebody listens there. Raises DemoFailed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                while not await _listens(port):
                    self.check()
                    await asyncio.sleep(0.05)
                return
        raise DemoFailed(f"nobody listens on port {port} after {START_S} s; logs are in {self._directory}")

    def check(self) -> None:
        """Raises DemoFailed when one has ended."""
        for name, child in self._running:
            if child.returncode is not None:
                said = (self._directory / f"{name}.log").read_text(errors="replace").splitlines()[-10:]
                raise DemoFailed("\n  ".join([f"{name} has ended with status {child.returncode}:", *said]))

    async def stop(self) -> None:
        """The last first."""
        for _, child in reversed(self._running):
            for number in (signal.SIGTERM, signal.SIGKILL):
                if child.returncode is None:
                    with suppress(ProcessLookupError):
                        child.send_signal(number)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(child.wait(), STOP_S)


class Watcher:
    """Prints what comes, one line each; ``missing``: what has been expected and has not come."""

    def __init__(self) -> None:
        self.missing = {
            "a mail without attachment", "a mail with an attachment, whole",
            "created in JMAP_EVENTS", FLAG, "a move in JMAP_EVENTS",
        }  # fmt: skip
        # Ids of Emails, in the order of JMAP_EVENTS.
        self.created: list[str] = []
        # Of Mailboxes, as their own events tell them.
        self._names: dict[str, str] = {}

    async def mails(self, stream: MailStream) -> None:
        async for mail in stream:
            await self._mail(mail)
            await mail.ack()

    async def _mail(self, mail: Mail) -> None:
        text = " ".join((await mail.text()).split())
        _line("JMAP_EMAILS", "mail", f"{mail.subject!r} from {mail.sender and mail.sender.name}: {text[:40]}")
        for part in mail.attachments:
            octets = await mail.read(part)
            _line("", "", f"  {part.name}: {len(octets)} octets from the object store, digest verified")
        whole = bool(mail.attachments) and (await mail.read(mail.attachments[0])).decode().startswith(
            "position"
        )
        self._saw("a mail with an attachment, whole" if whole else "a mail without attachment")

    async def events(self, stream: EventStream) -> None:
        async for event in stream:
            self._event(event)
            await event.ack()

    def _event(self, event: Event) -> None:
        if event.type == "Mailbox" and event.after is not None:
            self._names[event.id] = event.after["name"]
        keywords, mailboxes = event.change_of("keywords"), event.change_of("mailboxIds")
        words = [f"+{word}" for word in keywords.added] + [f"-{word}" for word in keywords.removed]
        if mailboxes.added:
            words.append(f"moved {self._named(mailboxes.removed)} -> {self._named(mailboxes.added)}")
        if not words and event.changed:
            words = [f"changed: {', '.join(sorted(event.changed))}"]
        _line("JMAP_EVENTS", event.op, " ".join([event.type, self._names.get(event.id, event.id), *words]))
        if event.type == "Email":
            if event.op == "created":
                self.created.append(event.id)
                self._saw("created in JMAP_EVENTS")
            if "$flagged" in keywords.added:
                self._saw(FLAG)
            if mailboxes.added:
                self._saw("a move in JMAP_EVENTS")

    def _named(self, mailboxes: Sequence[str]) -> str:
        return " and ".join(self._names.get(id, id) for id in mailboxes)

    def _saw(self, what: str) -> None:
        self.missing.discard(what)


async def demo(*, once: bool) -> None:
    """Until Ctrl-C, or with ``once`` until all was seen. Raises DemoFailed."""
    ports = {name: _free_port(None if once else usual) for name, usual in USUAL.items()}
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="veredus-demo-")))
        children = Children(directory)
        stack.push_async_callback(children.stop)
        await _start(children, directory, ports)
        nc = await nats.connect(f"nats://127.0.0.1:{ports['nats']}")
        stack.push_async_callback(nc.close)
        print(_banner(ports, directory), flush=True)
        watcher = Watcher()
        await _bridge_follows(nc, ports["http"], children)
        async with _reading(watcher, nc) as reading:
            watching = Watching(watcher, children, reading)
            await _send(ports["lmtp"])
            await _flag_and_move(ports["http"], watcher, watching)
            await watching.until(lambda: not watcher.missing)
            if not once:
                print("\n  That was all of it. Send mail of your own, or press Ctrl-C.\n", flush=True)
                await watching.until(lambda: False, at_most_s=math.inf)


async def _start(children: Children, directory: Path, ports: dict[str, int]) -> None:
    nats_server = (
        binary(),
        "-js",
        "-sd",
        directory / "jetstream",
        "-a",
        "127.0.0.1",
        "-p",
        str(ports["nats"]),
    )
    listen = [word for name in ("http", "lmtp", "smtp") for word in (f"--{name}-port", str(ports[name]))]
    veredus = (sys.executable, "-m", "veredus")
    await children.start("nats-server", *nats_server)
    await children.start("server", *veredus, "dev", "--ephemeral", "--demo", "0", *listen)
    await children.wait_for(ports["nats"])
    await children.wait_for(ports["lmtp"])
    (directory / "password").write_text(PASSWORD)
    config = directory / "bridge.toml"
    config.write_text(_config(ports, directory))
    await children.start("bridge", *veredus, "bridge", "run", "--config", config)


def _config(ports: dict[str, int], directory: Path) -> str:
    return f"""\
[[bridge]]
name = "demo"
jmap = {{ session_url = "http://127.0.0.1:{ports["http"]}/.well-known/jmap", user = "{USER}", \
password = {{ file = "{directory / "password"}" }} }}
nats = {{ url = "nats://127.0.0.1:{ports["nats"]}" }}
events = {{ enabled = true, types = ["Email", "Mailbox"] }}
"""


def _banner(ports: dict[str, int], directory: Path) -> str:
    url = f"nats://127.0.0.1:{ports['nats']}"
    return f"""
  Server    http://127.0.0.1:{ports["http"]}/.well-known/jmap   {USER} / {PASSWORD}
            LMTP 127.0.0.1:{ports["lmtp"]}, SMTP 127.0.0.1:{ports["smtp"]}
  NATS      {url}
  Bridge    veredus bridge run --config {directory / "bridge.toml"}
  Logs      {directory}/*.log, gone at the end

  Look      nats -s {url} sub 'jmap.>'
            nats -s {url} stream view JMAP_EMAILS
            nats -s {url} object ls email-parts
  Send      swaks --to {USER} --server 127.0.0.1 --port {ports["smtp"]} --header 'Subject: My own'
  Stop      Ctrl-C
"""


async def _bridge_follows(nc: Nats, port: int, children: Children) -> None:
    """Until the bridge stands at the end of all changes: what comes then is news. Raises DemoFailed."""
    async with Client.connect(f"http://127.0.0.1:{port}/.well-known/jmap", basic=(USER, PASSWORD)) as client:
        account = (await client.call("Mailbox/get", {"ids": []}))["accountId"]
    with suppress(TimeoutError):
        async with asyncio.timeout(START_S):
            while not await _follows(nc, account):
                children.check()
                await asyncio.sleep(0.05)
            return
    raise DemoFailed(f"the bridge does not follow the account {account} after {START_S} s")


async def _follows(nc: Nats, account: str) -> bool:
    """As its control service says."""
    try:
        told = await nc.request(f"jmap.ctl.{account}.status", b"", timeout=1)
    except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
        return False
    tracks = json.loads(told.data)["accounts"][account]["tracks"]
    return {name for name, track in tracks.items() if track["state"] is not None} >= TRACKS


@asynccontextmanager
async def _reading(watcher: Watcher, nc: Nats) -> AsyncIterator[list[asyncio.Task[None]]]:
    async with (
        MailStream(nc, "JMAP_EMAILS", durable="demo") as mails,
        EventStream(nc, durable="demo") as events,
    ):
        tasks = [asyncio.create_task(watcher.mails(mails)), asyncio.create_task(watcher.events(events))]
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Watching:
    """Waits for what is to be seen, as long as all that it takes is alive."""

    def __init__(self, watcher: Watcher, children: Children, reading: Sequence[asyncio.Task[None]]) -> None:
        self._watcher, self._children, self._reading = watcher, children, reading

    async def until(self, is_so: Callable[[], bool], at_most_s: float = ALL_S) -> None:
        """Raises DemoFailed."""
        end = asyncio.get_running_loop().time() + at_most_s
        while not is_so():
            self._children.check()
            for task in self._reading:
                if task.done():
                    task.result()
            if asyncio.get_running_loop().time() > end:
                missing = ", ".join(sorted(self._watcher.missing))
                raise DemoFailed(f"after {at_most_s:g} s these have not come: {missing}")
            await asyncio.sleep(0.05)


async def _send(port: int) -> None:
    plain, invoice = EmailMessage(), EmailMessage()
    for message, name, subject in ((plain, "Bob", "Lunch ☃"), (invoice, "Zoë", "Invoice 42")):
        message["From"], message["To"], message["Subject"] = f"{name} <x@example.org>", USER, subject
    plain.set_content("At noon, by the milestone?\n")
    invoice.set_content("As agreed, with thanks.\n")
    invoice.add_attachment(CSV, subtype="csv", filename="invoice.csv")

    def send() -> None:
        with smtplib.LMTP("127.0.0.1", port) as lmtp:
            for message in (plain, invoice):
                lmtp.send_message(message, "x@example.org", [USER])

    _line("LMTP", "send", "two mails, one with an attachment")
    await asyncio.to_thread(send)


async def _flag_and_move(port: int, watcher: Watcher, watching: Watching) -> None:
    """Of one Email; each when what was before has been seen, or the bridge would find both at once."""
    await watching.until(lambda: bool(watcher.created))
    email = watcher.created[0]
    async with Client.connect(f"http://127.0.0.1:{port}/.well-known/jmap", basic=(USER, PASSWORD)) as client:
        boxes = (await client.call("Mailbox/get", {"properties": ["id", "role"]}))["list"]
        archive = next(box["id"] for box in boxes if box["role"] == "archive")
        _line("JMAP", "set", f"Email {email}: $flagged")
        await client.call("Email/set", {"update": {email: {"keywords/$flagged": True}}})
        await watching.until(lambda: FLAG not in watcher.missing)
        _line("JMAP", "set", f"Email {email}: into Archive")
        await client.call("Email/set", {"update": {email: {"mailboxIds": {archive: True}}}})


def _line(where: str, what: str, text: str) -> None:
    now = datetime.now().astimezone().strftime("%H:%M:%S.%f")[:-3] if where else ""
    print(f"  {now:12} {where:12} {what:10} {text}", flush=True)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _free_port(usual: int | None) -> int:
    """The usual one, if it is given and free."""
    for port in (usual, 0):
        if port is not None:
            with socket.socket() as probe, suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise DemoFailed("this machine has no free port")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when all was seen; status 0")
    once = parser.parse_args().once

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await demo(once=once)

    try:
        asyncio.run(run())
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\n  Everything is stopped.")
    except (DemoFailed, OSError) as error:
        sys.exit(f"demo: {error}")


if __name__ == "__main__":
    main()
