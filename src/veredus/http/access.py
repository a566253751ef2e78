"""One log line for each request: who asked for what, how it ended, how long it took. Never what was in it."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO, Protocol

import msgspec
import structlog
from msgspec import UNSET, Struct, UnsetType

# What Linux writes to a pipe in one piece (PIPE_BUF): several processes may write to the same one.
_PIECE = 4096
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
    worker: int | UnsetType = UNSET


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
        del fields["timestamp"], fields["worker"]  # structlog's own, and of veredus.log
        write = self._log.debug if fields.pop("level") == "debug" else self._log.info
        write(fields.pop("event"), **fields)

    def flush(self) -> None:
        """Nothing is held back."""


class JsonLines:
    """The same JSON lines as structlog writes, encoded and written many at a time: some 2 us each.

    Only for the event loop's thread. ``debug``: whether lines of that level are written. ``worker``: of
    several processes, which this is; said in each line.
    """

    def __init__(self, stream: BinaryIO, *, debug: bool = False, worker: int | None = None) -> None:
        self._stream, self._debug = stream, debug
        self._worker: int | UnsetType = UNSET if worker is None else worker
        self._lines: list[RequestLine] = []
        self._timer: asyncio.TimerHandle | None = None
        self._encoder = msgspec.json.Encoder()

    def write(self, line: RequestLine) -> None:
        if line.level == "debug" and not self._debug:
            return
        line.worker = self._worker
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
        for piece in _pieces(self._encoder.encode_lines(lines)):
            self._stream.write(piece)
            self._stream.flush()


def _pieces(lines: bytes) -> Iterator[bytes]:
    """Whole lines, so many at a time as nobody else's come between."""
    start = 0
    while start < len(lines):
        end = len(lines)
        if end - start > _PIECE:
            end = (lines.rfind(b"\n", start, start + _PIECE) + 1) or (lines.index(b"\n", start) + 1)
        yield lines[start:end]
        start = end


_: tuple[type[AccessLog], ...] = (StructuredLog, JsonLines)


def now() -> datetime:
    """The time of a line. Not the Clock port's: a log says when things really happened."""
    return datetime.now(UTC)
