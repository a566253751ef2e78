"""Splitting a message into its MIME entities (RFC 2046 §5.1): one pass over the lines that begin with "--".

Only the boundaries of the multiparts now open can end a part, so a stack of them
is all the state there is. message/* parts are leaves (RFC 8621 §4.1.4).
"""

import re

from veredus.formats.mime.header import split_header_block
from veredus.formats.mime.part import Part

MAX_DEPTH = 100
MAX_PARTS = 10_000

_BLANK_LINE = re.compile(rb"\n\r?\n")


def split(data: bytes) -> Part:
    """The root part of the message ``data`` (LF or CRLF line ends)."""
    return _Splitter(data).run()


class _Splitter:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.count = 0
        self.stack: list[Part] = []  # multiparts whose boundary still counts, outermost first
        self.depths: dict[bytes, int] = {}  # their boundaries, with the index in the stack
        self.unended: list[tuple[int, Part]] = []  # parts whose end is not yet known, with their depth
        self.blank_from = self.blank_line = self.blank_end = -1

    def run(self) -> Part:
        root = self._begin(0, len(self.data), 0, "text/plain")
        position = root.start - 1
        while self.stack:
            line = self._next_delimiter(position, len(self.data))
            if line is None:
                break
            start, after, depth, closes = line
            self._end_parts(start, depth)
            if closes:
                self._close(depth)
            else:
                self._close(depth + 1)
                self._sub_part(after, depth)
            position = after - 1
        self._end_parts(len(self.data), -1)
        return root

    def _sub_part(self, start: int, depth: int) -> None:
        """Begin the next part of the multipart at ``depth`` of the stack."""
        parent = self.stack[depth]
        if self.count >= MAX_PARTS:
            return
        default_type = "message/rfc822" if parent.type == "multipart/digest" else "text/plain"
        limit = self._end_of_header(start)
        # A delimiter before the blank line ends the part within its header.
        if (line := self._next_delimiter(start - 1, limit)) is not None:
            limit = self._before_line_break(line[0], start)
        parent.sub_parts.append(self._begin(start, limit, depth + 1, default_type))

    def _begin(self, start: int, limit: int, depth: int, default_type: str) -> Part:
        """A new part whose header block starts at ``start`` and ends at the blank line or ``limit``."""
        end = min(self._end_of_header(start), limit)
        headers, size = split_header_block(self.data[start:end])
        body = start + size
        if body == end == self.blank_line:
            body = self.blank_end
        part = Part(self.data, headers, body, default_type)
        self.unended.append((depth, part))
        if part.is_multipart:
            if part.boundary is not None and len(self.stack) < MAX_DEPTH:
                self.depths[part.boundary] = len(self.stack)
                self.stack.append(part)
        else:
            self._number(part)
        return part

    def _end_of_header(self, start: int) -> int:
        """Where the header block that starts at ``start`` ends; blank_end is then after its blank line.

        The last blank line found is remembered: looking for one from every part
        of a message that has none would be quadratic.
        """
        if self.blank_from <= start <= self.blank_line:
            return self.blank_line
        self.blank_from = start
        if self.data.startswith((b"\n", b"\r\n"), start):
            self.blank_line = start
            self.blank_end = self.data.index(b"\n", start) + 1
        elif match := _BLANK_LINE.search(self.data, start):
            self.blank_line, self.blank_end = match.start() + 1, match.end()
        else:
            self.blank_line = self.blank_end = len(self.data)
        return self.blank_line

    def _next_delimiter(self, position: int, limit: int) -> tuple[int, int, int, bool] | None:
        """The first delimiter line after the line break at ``position``, before ``limit``.

        (its start, the start of the line after it, index of the multipart in the stack, whether it closes it)
        """
        data, find = self.data, self.data.find
        position = max(position, 0)
        while (hit := find(b"\n--", position, limit)) >= 0:
            end = find(b"\n", hit + 1)
            after = end + 1 if end >= 0 else len(data)
            if (found := self._delimiter(data[hit + 3 : after].rstrip())) is not None:
                return hit + 1, after, *found
            position = hit + 1
        return None

    def _delimiter(self, line: bytes) -> tuple[int, bool] | None:
        """(index in the stack, whether it closes) if ``line``, given without "--", is a delimiter line.

        Text after the boundary is ignored (RFC 2046 §5.1.1), but only after a space: some
        senders make the boundary of an inner multipart by adding a suffix to the outer one.
        """
        depths = self.depths
        if (depth := depths.get(line)) is not None:
            return depth, False
        if line.endswith(b"--") and (depth := depths.get(line[:-2])) is not None:
            return depth, True
        if b" " in line or b"\t" in line:
            return self._delimiter(line.split(None, 1)[0]) if not line[:1].isspace() else None
        return None

    def _before_line_break(self, position: int, start: int) -> int:
        """``position`` without the line break before it, which belongs to the delimiter (RFC 2046 §5.1.1)."""
        if position > start and self.data[position - 1] == 10:
            position -= 1
            if position > start and self.data[position - 1] == 13:
                position -= 1
        return position

    def _end_parts(self, position: int, depth: int) -> None:
        """End what is deeper than ``depth`` before the delimiter at ``position``; all if ``depth`` is -1."""
        while self.unended and self.unended[-1][0] > depth:
            _, part = self.unended.pop()
            end = position if depth < 0 else self._before_line_break(position, part.start)
            part.end = max(part.start, end)
            if part.is_multipart and not part.sub_parts:
                self._sole_part(part)

    def _sole_part(self, multipart: Part) -> None:
        """Make the body of a multipart without any delimiter a text part, or else nobody could read it."""
        part = Part(self.data, [], multipart.start)
        part.end = multipart.end
        self._number(part)
        multipart.sub_parts.append(part)

    def _number(self, part: Part) -> None:
        self.count += 1
        part.part_id = str(self.count)

    def _close(self, depth: int) -> None:
        """Forget the boundaries from ``depth`` of the stack on."""
        if depth < len(self.stack):
            del self.stack[depth:]
            self.depths = {part.boundary: index for index, part in enumerate(self.stack) if part.boundary}
