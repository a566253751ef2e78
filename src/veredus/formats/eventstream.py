"""Server-sent events as octets (html.spec.whatwg.org, server-sent-events §9.2.5, §9.2.6).

``block`` is for sending: each ends in an empty line, which is what makes the client act on it. ``Parser`` is
for the client; it does no I/O.
"""

from msgspec import Struct

_BREAKS = frozenset(b"\r\n")
_BOM = b"\xef\xbb\xbf"
# Digits of a retry: more than eleven days is no time to wait.
_RETRY_DIGITS = 9


def block(
    *, event: str | None = None, data: bytes | None = None, id: str | None = None, retry_ms: int | None = None
) -> bytes:
    """One block: ``event`` before ``data``, which is one line, then ``id``.

    Without ``data`` nothing is dispatched; the client takes over the ``id``, and ``retry_ms`` as the time
    that it waits before it connects again. Raises ValueError for a value that would be cut or be more lines.
    """
    lines: list[bytes] = []
    if event is not None:
        lines.append(b"event: " + event.encode("utf-8"))
    if data is not None:
        lines.append(b"data: " + data)
    if id is not None:
        if "\0" in id:
            raise ValueError("a client ignores an id with U+0000 in it")
        lines.append(b"id: " + id.encode("utf-8"))
    if retry_ms is not None:
        lines.append(b"retry: %d" % retry_ms)
    if any(not _BREAKS.isdisjoint(line) for line in lines):
        raise ValueError("a line break in a field of an event")
    return b"\n".join(lines) + b"\n\n"


class TooLong(ValueError):
    """A line or an event is longer than the parser takes; the rest of the stream cannot be told apart."""


class Message(Struct, frozen=True):
    """An event that is dispatched. ``last_event_id``: the newest id of the stream, not only of this event."""

    event: str
    data: str
    last_event_id: str


class Parser:
    """A stream piece by piece, wherever it is cut; an event that has no end is never given out.

    ``last_event_id`` and ``retry_ms`` (None: not said) may change without an event. ``max_size``: octets of a
    line, and of the data of an event.
    """

    def __init__(self, max_size: int = 1024 * 1024) -> None:
        self._max_size = max_size
        self._line = bytearray()
        self._is_first = True
        # A CR ended the last piece: a LF that comes now belongs to it.
        self._is_after_cr = False
        self._event, self._id = "", ""
        self._data: list[str] = []
        self._size = 0
        self.last_event_id = ""
        self.retry_ms: int | None = None

    def feed(self, piece: bytes) -> list[Message]:
        """The events that this piece completes. Raises TooLong."""
        if not piece:
            return []
        if self._is_after_cr and piece[:1] == b"\n":
            piece = piece[1:]
        self._is_after_cr = piece.endswith(b"\r")
        messages = []
        for line in piece.splitlines(keepends=True):
            self._line += line
            self._check(len(self._line))
            if line[-1] in _BREAKS:
                message = self._end_line()
                if message is not None:
                    messages.append(message)
        return messages

    def _check(self, more: int) -> None:
        if self._size + more > self._max_size:
            raise TooLong(f"a line or an event of more than {self._max_size} octets")

    def _end_line(self) -> Message | None:
        line = bytes(self._line).rstrip(b"\r\n")
        self._line.clear()
        if self._is_first:
            self._is_first, line = False, line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        # A line that begins with a colon is a comment, and has no name.
        if name:
            self._field(name, value.removeprefix(b" "))
        return None

    def _field(self, name: bytes, value: bytes) -> None:
        match name:
            case b"event":
                self._event = value.decode("utf-8", "replace")
            case b"data":
                self._data.append(value.decode("utf-8", "replace"))
                self._size += len(value) + 1
            case b"id" if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
            case b"retry" if value.isdigit() and len(value) <= _RETRY_DIGITS:
                self.retry_ms = int(value)

    def _dispatch(self) -> Message | None:
        event, data = self._event, self._data
        self._event, self._data, self._size = "", [], 0
        self.last_event_id = self._id
        return Message(event or "message", "\n".join(data), self._id) if data else None
