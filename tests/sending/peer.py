"""An SMTP server on loopback that does what a test tells it, right or wrong.

    async with peer(on("RCPT", "550 5.1.1 nobody", contains="bob"), on("end", DROP, message=2)) as smtp:
        ...  # send to smtp.url
        assert smtp.messages[0].recipients == ["ann@example.org"]

A rule is asked at each moment: "connect", a command ("EHLO", "MAIL", "RCPT", "DATA", ...), "text" (the first
octets of a message are there) and "end" (its last ones are, and no reply is). The first that fits decides: a str
is a reply (of several lines, with their own codes), bytes are sent as they are, and there are HANG, STALL, DROP,
CLOSE, Last and Slow. No rule: as a good server would. ``smtp.rules`` may be changed at any time.
"""

import asyncio
import base64
import errno
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from sending.script import CLOSE, DROP, HANG, STALL, Action, Fault, Last, Rule, Slow, on

__all__ = [
    "CLOSE",
    "DROP",
    "EXTENSIONS",
    "HANG",
    "STALL",
    "Action",
    "Last",
    "Message",
    "Peer",
    "Slow",
    "neighbours",
    "on",
    "peer",
]

EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "SIZE 50000000")
OK = {
    "MAIL": "250 2.1.0 sender ok",
    "RCPT": "250 2.1.5 recipient ok",
    "DATA": "354 go on",
    "end": "250 2.0.0 queued",
    "RSET": "250 2.0.0 ok",
    "NOOP": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
    "STARTTLS": "220 2.0.0 go on",
}


@dataclass
class Message:
    """One that came in whole. The parameters are the rest of MAIL, and of each RCPT."""

    sender: str = ""
    parameters: str = ""
    recipients: list[str] = field(default_factory=list)
    recipient_parameters: list[str] = field(default_factory=list)
    data: bytes = b""
    connection: int = 0
    is_encrypted: bool = False
    user: str | None = None


@dataclass
class Peer:
    host: str
    rules: list[Rule]
    tls: ssl.SSLContext | None
    is_implicit: bool
    users: Mapping[str, str]
    extensions: Sequence[str]
    greeting: str
    login: str
    port: int = 0
    messages: list[Message] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    # The address of each client that connected.
    clients: list[str] = field(default_factory=list)
    mails: int = 0
    # How often a client waited for us: each read that had to be made.
    reads: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def connections(self) -> int:
        """How many there were."""
        return len(self.clients)

    @property
    def url(self) -> str:
        """For ``outgoing.url``, with the first user."""
        user = next(iter(self.users.items()), None)
        login = f"{quote(user[0], safe='')}:{quote(user[1], safe='')}@" if user else ""
        return f"{'smtps' if self.is_implicit else 'smtp'}://{login}{self.host}:{self.port}"

    def received(self, recipient: str) -> list[bytes]:
        """The text of each message that this recipient got."""
        return [it.data for it in self.messages for one in it.recipients if one == recipient]

    async def seen(self, command: str, count: int = 1) -> None:
        """Wait until so many commands, or moments, of this kind have come."""
        async with self._news:
            await self._news.wait_for(
                lambda: sum(it.upper().startswith(command.upper()) for it in self.commands) >= count
            )

    async def got(self, count: int) -> None:
        """Wait until so many messages have come in whole."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.messages) >= count)

    async def note(self, command: str) -> None:
        async with self._news:
            self.commands.append(command)
            self._news.notify_all()

    async def keep(self, message: Message) -> None:
        async with self._news:
            self.messages.append(message)
            self._news.notify_all()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients.append(writer.get_extra_info("peername")[0])
        dialogue = Dialogue(self, reader, writer, self.connections)
        try:
            if self.is_implicit and self.tls is not None:
                await writer.start_tls(self.tls)
                dialogue.message.is_encrypted = True
            await dialogue.run()
        except (asyncio.IncompleteReadError, OSError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            writer.close()


class Dropped(OSError):
    """The script says so."""


class Dialogue:
    """One connection."""

    def __init__(
        self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.peer, self.reader, self.writer, self.number = peer, reader, writer, number
        self.buffer = b""
        self.message = Message(connection=number)

    async def run(self) -> None:
        if not await self.act("connect", "", self.peer.greeting):
            return
        while True:
            line = (await self.until(b"\r\n")).decode()
            await self.peer.note(line)
            verb = line[:4].upper() if not line.upper().startswith("STARTTLS") else "STARTTLS"
            if verb == "MAIL":
                self.peer.mails += 1
            if not await self.command(verb, line):
                return

    async def command(self, verb: str, line: str) -> bool:
        """False: the connection has ended."""
        match verb:
            case "EHLO":
                return await self.act(verb, line, self.offer())
            case "HELO":
                return await self.act(verb, line, f"250 {self.peer.greeting.split()[1]}")
            case "STARTTLS":
                return await self.start_tls(line)
            case "AUTH":
                return await self.act(verb, line, await self.log_in(line))
            case "DATA":
                return await self.data(line)
            case "QUIT":
                await self.act(verb, line, OK[verb])
                return False
            case _:
                reply = OK.get(verb, "500 5.5.1 what?")
                if verb == "RCPT" and not self.message.sender:
                    reply = "503 5.5.1 MAIL first"
                is_going, said = await self.answer(verb, line, reply)
                if said.startswith("2"):
                    self.envelope(verb, line)
                return is_going

    def envelope(self, verb: str, line: str) -> None:
        path, _, parameters = line.partition("<")[2].partition(">")
        if verb == "MAIL":
            self.forget()
            self.message.sender, self.message.parameters = path or "<>", parameters.strip()
        elif verb == "RCPT":
            self.message.recipients.append(path)
            self.message.recipient_parameters.append(parameters.strip())
        elif verb == "RSET":
            self.forget()

    def forget(self) -> None:
        self.message = replace(
            Message(connection=self.number), is_encrypted=self.message.is_encrypted, user=self.message.user
        )

    def offer(self) -> str:
        lines = [self.peer.greeting.split()[1], *self.peer.extensions]
        if self.peer.tls is not None and not self.message.is_encrypted:
            lines.append("STARTTLS")
        if self.peer.users:
            lines.append(self.peer.login)
        return "\r\n".join(
            f"250{' ' if last else '-'}{line}" for line, last in ((it, it is lines[-1]) for it in lines)
        )

    async def start_tls(self, line: str) -> bool:
        is_going, said = await self.answer("STARTTLS", line, OK["STARTTLS"])
        if is_going and said.startswith("220") and self.peer.tls is not None:
            await self.writer.start_tls(self.peer.tls)
            self.message.is_encrypted = True
            self.buffer = b""
        return is_going

    async def log_in(self, line: str) -> str:
        words = line.split()
        if words[1].upper() == "PLAIN":
            _, user, password = base64.b64decode(words[2]).decode().split("\0")
        else:
            user, password = await self.ask("VXNlcm5hbWU6"), await self.ask("UGFzc3dvcmQ6")
        if self.peer.users.get(user) != password:
            return "535 5.7.8 wrong"
        self.message.user = user
        return "235 2.7.0 welcome"

    async def ask(self, challenge: str) -> str:
        self.writer.write(f"334 {challenge}\r\n".encode())
        return base64.b64decode(await self.until(b"\r\n")).decode()

    async def data(self, line: str) -> bool:
        reply = OK["DATA"] if self.message.recipients else "554 5.5.1 nobody to send it to"
        is_going, said = await self.answer("DATA", line, reply)
        if not is_going or not said.startswith("354"):
            return is_going
        if not self.buffer:
            await self.more()
        await self.peer.note("text")
        if not await self.act("text", "", ""):
            return False
        # The CRLF of the DATA line is the one before a lonely dot (RFC 5321 §4.1.1.4).
        self.buffer = b"\r\n" + self.buffer
        text = await self.until(b"\r\n.\r\n")
        self.message.data = (text + b"\r\n")[2:].replace(b"\r\n..", b"\r\n.").removeprefix(b".")
        await self.peer.note("end")
        is_going, said = await self.answer("end", "", OK["end"])
        if said.startswith("2"):
            await self.peer.keep(self.message)
        self.forget()
        return is_going

    async def until(self, end: bytes) -> bytes:
        while (at := self.buffer.find(end)) < 0:
            await self.more()
        found, self.buffer = self.buffer[:at], self.buffer[at + len(end) :]
        return found

    async def more(self) -> None:
        self.peer.reads += 1
        data = await self.reader.read(1 << 20)
        if not data:
            raise asyncio.IncompleteReadError(b"", None)
        self.buffer += data

    async def act(self, moment: str, line: str, default: str) -> bool:
        return (await self.answer(moment, line, default))[0]

    async def answer(self, moment: str, line: str, default: str) -> tuple[bool, str]:
        """Whether the connection goes on, and what was said."""
        action: Action = default
        for rule in self.peer.rules:
            if rule.fits(moment, line, self.number, self.peer.mails):
                rule.times = rule.times and rule.times - 1
                action = rule.action
                break
        return await self.perform(action)

    async def perform(self, action: Action) -> tuple[bool, str]:
        match action:
            case Fault():
                await self.fail(action)
                return False, ""
            case Last():
                self.writer.write(f"{action.reply}\r\n".encode())
                return False, action.reply
            case bytes():
                self.writer.write(action)
            case Slow():
                for octet in f"{action.reply}\r\n".encode():
                    self.writer.write(bytes([octet]))
                    await self.writer.drain()
                    await asyncio.sleep(action.pause_s)
            case str() if action:
                self.writer.write(f"{action}\r\n".encode())
        await self.writer.drain()
        said = action.reply if isinstance(action, Slow) else action
        return True, said.decode("latin-1") if isinstance(said, bytes) else str(said)

    async def fail(self, fault: Fault) -> None:
        match fault:
            case Fault.HANG:
                while await self.reader.read(1 << 20):
                    pass
            case Fault.STALL:
                await asyncio.Event().wait()
            case Fault.DROP:
                self.writer.transport.abort()
            case Fault.CLOSE:
                pass


@asynccontextmanager
async def peer(
    *rules: Rule,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    is_implicit: bool = False,
    users: Mapping[str, str] | None = None,
    extensions: Sequence[str] = EXTENSIONS,
    greeting: str = "220 peer.example ESMTP",
    login: str = "AUTH PLAIN LOGIN",
) -> AsyncIterator[Peer]:
    """``tls``: STARTTLS is offered, or, ``is_implicit``, spoken at once. ``users``: passwords; AUTH is offered."""
    it = Peer(host, list(rules), tls, is_implicit, users or {}, extensions, greeting, login)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(it.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, host, port)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def neighbours(count: int, **options: Any) -> AsyncIterator[list[Peer]]:
    """Peers on 127.0.0.1, 127.0.0.2, ... and one port, as hosts that DNS names; the port may be taken on some."""
    for attempts_left in reversed(range(20)):
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(peer(**options))
            rest = []
            try:
                for number in range(2, count + 1):
                    host = f"127.0.0.{number}"
                    rest.append(await stack.enter_async_context(peer(host=host, port=first.port, **options)))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or not attempts_left:
                    raise
                continue
            yield [first, *rest]
            return
