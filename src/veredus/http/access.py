"""One log line for each request: who asked for what, how it ended, how long it took. Never what was in it."""

import asyncio
from datetime import UTC, datetime
from typing import BinaryIO, Protocol

import msgspec
import structlog
from msgspec import Struct

# Lines are written together: at the latest after this time, or when there are so many.
_DELAY_S = 0.1
_MOST_LINES = 500


class RequestLine(Struct):
    """``ms``: from the header section to the last octet; ``received``, ``sent``: octets of bodies."""

    timestamp: datetime
    level: str
    request: str
    method: str
    route: str
    status: int
    ms: float
    user: str | None
    client: str
    received: int
    sent: int
    event: str = "request"


class AccessLog(Protocol):
    """Where request lines go."""

    def write(self, line: RequestLine) -> None: ...

    def flush(self) -> None:
        """Write what is held back; called when a server closes."""
        ...


class StructuredLog:
    """Through structlog, like every other line: some 40 us, for people at a terminal."""

    def __init__(self) -> None:
        # Bound once: the lazy proxy would build a logger for each line.
        self._log = structlog.get_logger("veredus.http").bind()

    def write(self, line: RequestLine) -> None:
        fields = msgspec.structs.asdict(line)
        del fields["timestamp"]  # structlog's own
        write = self._log.debug if fields.pop("level") == "debug" else self._log.info
        write(fields.pop("event"), **fields)

    def flush(self) -> None:
        """Nothing is held back."""


class JsonLines:
    """The same JSON lines as structlog writes, encoded and written many at a time: some 2 us each.

    Only for the event loop's thread. ``debug``: whether lines of that level are written.
    """

    def __init__(self, stream: BinaryIO, *, debug: bool = False) -> None:
        self._stream, self._debug = stream, debug
        self._lines: list[RequestLine] = []
        self._timer: asyncio.TimerHandle | None = None
        self._encoder = msgspec.json.Encoder()

    def write(self, line: RequestLine) -> None:
        if line.level == "debug" and not self._debug:
            return
        self._lines.append(line)
        if len(self._lines) >= _MOST_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY_S, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if lines:
            self._stream.write(self._encoder.encode_lines(lines))
            self._stream.flush()


_: tuple[type[AccessLog], ...] = (StructuredLog, JsonLines)


def now() -> datetime:
    """The time of a line. Not the Clock port's: a log says when things really happened."""
    return datetime.now(UTC)
