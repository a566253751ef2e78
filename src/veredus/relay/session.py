"""A session with a host that has greeted us and told its extensions (RFC 5321 §3.1, §4.1.1.1)."""

from base64 import b64encode

from msgspec import Struct

from veredus.relay.reply import HostTrouble, Reply
from veredus.relay.wire import Wire


class Timeouts(Struct, frozen=True):
    """Seconds to wait for a host; RFC 5321 §4.5.3.2 asks for at least these."""

    connect: float = 30
    greeting: float = 300
    command: float = 300
    data: float = 120
    block: float = 180
    end: float = 600
    handshake: float = 30
    quit: float = 2


class Session:
    """What is known of the host, and where in the dialogue we are.

    ``needs_reset``: a transaction was begun and neither finished nor refused as a whole. ``calls_itself``:
    the name in its greeting. ``opened_at``: of the loop's clock.
    """

    def __init__(self, wire: Wire, host: str, timeouts: Timeouts) -> None:
        self.wire = wire
        self.host = host
        self.timeouts = timeouts
        self.extensions: dict[str, str] = {}
        self.needs_reset = False
        self.is_encrypted = False
        self.calls_itself = ""
        self.opened_at = 0.0

    def offers(self, extension: str) -> bool:
        return extension in self.extensions

    @property
    def size_limit(self) -> int:
        """0: none, or none that is told (RFC 1870 §3)."""
        text = self.extensions.get("SIZE", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0

    async def greet(self, hostname: str) -> str:
        """Read the greeting and say EHLO, or HELO if that is refused (§3.2): what the host calls itself.

        Raises HostTrouble.
        """
        greeting = await self.wire.reply(self.timeouts.greeting)
        if greeting.code != 220:
            raise HostTrouble.said(greeting, self.host)
        await self.hello(hostname)
        return (greeting.texts[0].split() or [""])[0]

    async def hello(self, hostname: str) -> None:
        """EHLO; again after STARTTLS, since what was told before does not count (RFC 3207 §4.2)."""
        self.extensions = {}
        reply = await self.command(f"EHLO {hostname}")
        if reply.is_positive:
            for line in reply.texts[1:]:
                keyword, _, value = line.strip().partition(" ")
                self.extensions[keyword.upper()] = value.strip()
            return
        if reply.code // 100 == 5:
            reply = await self.command(f"HELO {hostname}")
        if not reply.is_positive:
            raise HostTrouble.said(reply, self.host)

    async def command(self, line: str) -> Reply:
        """Raises HostTrouble: there is no reply, or it is 421."""
        self.wire.write(f"{line}\r\n".encode())
        reply = await self.wire.reply(self.timeouts.command)
        if reply.is_closing:
            raise HostTrouble.said(reply, self.host)
        return reply

    async def log_in(self, user: str, password: str) -> None:
        """AUTH PLAIN, else LOGIN (RFC 4954, RFC 4616). Raises HostTrouble."""
        offered = self.extensions.get("AUTH", "").upper().split()
        if "PLAIN" in offered:
            reply = await self.command(f"AUTH PLAIN {_base64(f'{chr(0)}{user}{chr(0)}{password}')}")
        elif "LOGIN" in offered:
            reply = await self.command("AUTH LOGIN")
            for word in (user, password):
                if reply.code == 334:
                    reply = await self.command(_base64(word))
        else:
            raise HostTrouble("454 4.7.0 The host offers neither AUTH PLAIN nor LOGIN")
        if reply.code != 235:
            raise HostTrouble.said(reply, self.host)

    async def quit(self) -> None:
        """Take leave and close; a host that does not answer is not waited for long."""
        if self.wire.is_quiet:
            try:
                self.wire.write(b"QUIT\r\n")
                await self.wire.reply(self.timeouts.quit)
            except HostTrouble:
                pass
        await self.wire.close()


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
