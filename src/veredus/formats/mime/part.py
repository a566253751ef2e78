"""One MIME entity of a message, as RFC 8621 §4.1.4 sees it."""

import re

from veredus.formats.mime import transfer
from veredus.formats.mime.comments import strip_comments
from veredus.formats.mime.encoded_word import as_text
from veredus.formats.mime.header import Header, last_fields
from veredus.formats.mime.parameters import parse as parse_value

_TYPE = re.compile(r"[^\s/;]+/[^\s/;]+")
_LANGUAGE = re.compile(r"[A-Za-z0-9-]+")


class Part:
    """A body part: its header fields, what they mean, and where its encoded body lies in the message."""

    __slots__ = (
        "_size",
        "boundary",
        "charset",
        "cid",
        "data",
        "disposition",
        "encoding",
        "end",
        "headers",
        "is_multipart",
        "language",
        "location",
        "name",
        "part_id",
        "start",
        "sub_parts",
        "type",
    )

    def __init__(
        self, data: bytes, headers: list[Header], start: int, default_type: str = "text/plain"
    ) -> None:
        """A part of ``data`` with the body from ``start`` on; the splitter sets its end, id and sub_parts."""
        self.data = data
        self.headers = headers
        self.start = start
        self.end = len(data)
        self.part_id: str | None = None
        self.sub_parts: list[Part] = []
        self.boundary: bytes | None = None
        self.type = default_type
        self.is_multipart = False
        self.charset: str | None = "us-ascii"
        self.encoding = "7bit"
        self.name: str | None = None
        self.disposition: str | None = None
        self.cid: str | None = None
        self.language: list[str] | None = None
        self.location: str | None = None
        self._size = -1
        self._interpret()

    def _interpret(self) -> None:
        """Fill the properties that come from Content-* fields; the last instance of a field counts."""
        fields = last_fields(self.headers)
        name = None
        if value := fields.get("content-type"):
            name = self._content_type(value)
        if value := fields.get("content-transfer-encoding"):
            self.encoding = parse_value(value)[0] or "7bit"
        if value := fields.get("content-disposition"):
            disposition, parameters = parse_value(value)
            self.disposition = disposition or None
            name = parameters.get("filename") or name
        self.name = name or None
        if value := fields.get("content-id"):
            self.cid = "".join(strip_comments(value).split()).removeprefix("<").removesuffix(">") or None
        if value := fields.get("content-language"):
            self.language = _LANGUAGE.findall(strip_comments(value)) or None
        if value := fields.get("content-location"):
            self.location = "".join(as_text(value).split()) or None

    def _content_type(self, value: str) -> str | None:
        """Take type, charset and boundary from a Content-Type value; returns its name parameter."""
        type_, parameters = parse_value(value)
        if _TYPE.fullmatch(type_):
            self.type = type_
        elif type_:
            # RFC 2045 §5.2: a field that is syntactically invalid means the default.
            self.type = "text/plain"
        self.is_multipart = self.type.startswith("multipart/")
        is_text = self.type.startswith("text/")
        self.charset = parameters.get("charset") or ("us-ascii" if is_text else None)
        if self.is_multipart and "boundary" in parameters:
            self.boundary = parameters["boundary"].encode("utf-8", "replace").rstrip() or None
        return parameters.get("name")

    @property
    def body(self) -> bytes:
        """The body as it stands in the message, still encoded."""
        return self.data[self.start : self.end]

    def content(self) -> bytes:
        """The body after transfer decoding: what the part's blob holds."""
        content = transfer.decode(self.body, self.encoding)
        self._size = len(content)
        return content

    @property
    def size(self) -> int:
        """Octets of content(); 0 for a multipart, which has none of its own."""
        if self._size < 0:
            if self.is_multipart:
                self._size = 0
            elif self.encoding in transfer.CODED:
                self.content()
            else:
                self._size = self.end - self.start
        return self._size

    def walk(self) -> "list[Part]":
        """This part and all below it, depth-first."""
        found = []
        stack = [self]
        while stack:
            part = stack.pop()
            found.append(part)
            stack.extend(reversed(part.sub_parts))
        return found
