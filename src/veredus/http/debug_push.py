"""/debug/push: a page that opens every transport of push and shows what comes, for `veredus dev` alone.

The page is its own push service too: a POST to a sink goes to whoever reads that sink, and is kept nowhere.
"""

import base64
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from veredus.http.exchange import Exchange
from veredus.http.problems import Headers, Problem
from veredus.http.routes import Route
from veredus.http.stream import Stream
from veredus.ports import TooLarge

PATH = "/debug/push"
_SINK = f"{PATH}/sink"
_FILES = Path(__file__).parent / "debug"
_TYPES = {".html": b"text/html", ".css": b"text/css", ".js": b"text/javascript"}
# Everything of the page is ours and in files, so nothing that somebody mails can run in it.
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# RFC 8030 §7.2 wants a push service to take 4,096 octets; an EmailPush may have more.
_MOST_OCTETS = 65_536
_MOST_SINKS = 100
_ID_LENGTH = range(16, 65)
# What the page shows of how a message was pushed (RFC 8030 §5, RFC 8291, RFC 8292).
_SHOWN = ("content-type", "content-encoding", "ttl", "urgency", "topic", "authorization")


class DebugPush:
    """The page, and the sinks of the pages that are open."""

    def __init__(self) -> None:
        self._sinks: dict[str, _Sink] = {}

    def routes(self) -> list[Route]:
        files = [file for file in sorted(_FILES.iterdir()) if file.suffix in _TYPES]
        return [
            Route(_SINK, {"GET": self._read, "POST": self._push}, public=True),
            *(Route(_path(file), {"GET": _serve(file)}, public=True) for file in files),
        ]

    async def _read(self, x: Exchange) -> None:
        """An event stream of what is pushed to this sink; the sink is there as long as it is read."""
        id = x.query.get("id", "")
        if x.method != "GET" or len(id) not in _ID_LENGTH:
            raise Problem(400, "A sink is read with GET, and has an id of 16 to 64 characters.")
        if id in self._sinks:
            raise Problem(409, "This sink is being read.")
        if len(self._sinks) >= _MOST_SINKS:
            raise Problem(503, "Too many sinks are open.")
        sink = self._sinks[id] = _Sink(lambda: self._sinks.pop(id, None))
        x.detach(200, sink)

    async def _push(self, x: Exchange) -> None:
        """Take a message as a push service does (RFC 8030 §5)."""
        try:
            body = await x.body(_MOST_OCTETS)
        except TooLarge:
            raise Problem(413, f"A message may have {_MOST_OCTETS} octets.") from None
        sink = self._sinks.get(x.query.get("id", ""))
        if sink is None:
            raise Problem(404, "Nobody reads this sink.")
        if not sink.is_writable:
            raise Problem(429, "The reader of this sink is slow.", [(b"retry-after", b"1")])
        fields = {
            name: x.headers[name.encode()].decode("latin-1") for name in _SHOWN if name.encode() in x.headers
        }
        sink.pass_on(msgspec.json.encode({"fields": fields, "body": base64.b64encode(body).decode()}))
        await x.respond(201, [(b"location", f"{_SINK}/message".encode())])


class _Sink(Stream):
    """The response to whoever reads a sink: each message an event, until the connection closes."""

    __slots__ = ("_forget",)

    def __init__(self, forget: Callable[[], object]) -> None:
        self._forget = forget

    def opened(self) -> None:
        head = (
            "HTTP/1.1 200 OK",
            "content-type: text/event-stream",
            "cache-control: no-store",
            "connection: close",
        )
        self.transport.write("\r\n".join((*head, "", ": sink", "", "")).encode("ascii"))

    def pass_on(self, message: bytes) -> None:
        """``message``: JSON, and so one line."""
        self.transport.write(b"data: %b\n\n" % message)

    def lost(self) -> None:
        self._forget()

    def shut_down(self) -> None:
        self.transport.close()


def _path(file: Path) -> str:
    return PATH if file.name == "push.html" else f"/debug/{file.name}"


def _serve(file: Path) -> Callable[[Exchange], Awaitable[None]]:
    content = file.read_bytes()

    async def serve(x: Exchange) -> None:
        headers: Headers = [
            (b"content-type", _TYPES[file.suffix] + b"; charset=utf-8"),
            (b"content-security-policy", _POLICY),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-cache"),
        ]
        await x.respond(200, headers, content)

    return serve
