"""A push service, what is not to be reached, and a sender between them."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from contract.stores import FakeClock
from push.peers import Authority, two_sinks
from veredus.formats.webpush import VapidKey
from veredus.push.web.sender import Bounds, Outcome, PushSender, Target
from veredus.push.web.target import Guard

# Where push services are; 127.0.0.1 stands for all that is to be protected.
HERE = "127.0.0.2"
BODY = b'{"@type":"StateChange"}'
KEY = VapidKey.generate()


class World:
    """A push service ``push.example``, a private server, and a sender."""

    def __init__(self, stack: AsyncExitStack, directory: Path) -> None:
        self.stack, self.clock = stack, FakeClock()
        self.authority = Authority(directory)
        self.names: dict[str, list[str]] = {"push.example": [HERE], "other.example": [HERE]}
        self.looked_up: list[str] = []
        self.guard = Guard([HERE], lookup=self.lookup)
        stack.callback(self.guard.close)

    async def lookup(self, host: str) -> list[str]:
        self.looked_up.append(host)
        if host not in self.names:
            raise OSError("no such name")
        return self.names[host]

    async def start(self) -> None:
        tls = self.authority.context("push.example", "other.example", HERE, "127.0.0.1")
        self.push, self.private = await self.stack.enter_async_context(two_sinks(HERE, "127.0.0.1", tls))
        self.sender = self.new_sender()

    def new_sender(self, **bounds: Any) -> PushSender:
        sender = PushSender(
            self.guard,
            "mailto:admin@example.com",
            self.clock,
            ca_file=self.authority.file,
            bounds=Bounds(**bounds),
        )
        self.stack.push_async_callback(sender.close)
        return sender

    def url(self, path: str = "/secret-path", host: str = "push.example", scheme: str = "https") -> str:
        return f"{scheme}://{host}:{self.push.port}{path}"

    async def send(self, url: str | None = None, body: bytes = BODY, **more: Any) -> Outcome:
        target = Target(url or self.url(), more.pop("keys", None), more.pop("key", KEY))
        sender = more.pop("sender", self.sender)
        outcome: Outcome = await sender.send(target, body, **{"ttl": 60, "urgency": "normal"} | more)
        assert "secret-path" not in outcome.detail
        return outcome

    def answers(self, status: str, *fields: str) -> None:
        data = "\r\n".join((f"HTTP/1.1 {status}", "Content-Length: 0", *fields, "", "")).encode()
        self.push.answer = lambda request: data
