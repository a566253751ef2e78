"""A parsed message (RFC 5322, RFC 2045-2046): header fields, tree of parts, and RFC 8621 §4.1.4 of them.

Pure: octets in, values out. Nothing here raises on bad mail, and the work is linear in its size.
"""

from veredus.formats.mime.body import body_lists, is_downloadable
from veredus.formats.mime.header import Header
from veredus.formats.mime.part import Part
from veredus.formats.mime.preview import decode_text, preview_of, truncate_text
from veredus.formats.mime.split import split
from veredus.formats.mime.transfer import decode

__all__ = [
    "Message",
    "Part",
    "body_lists",
    "decode",
    "decode_text",
    "has_attachment",
    "is_message",
    "parse",
    "preview",
    "truncate_text",
]


class Message:
    """A message: its octets, its header fields (those of the root part), and its parts."""

    __slots__ = ("_lists", "data", "root")

    def __init__(self, data: bytes, root: Part) -> None:
        self.data = data
        self.root = root
        self._lists: tuple[list[Part], list[Part], list[Part]] | None = None

    @property
    def headers(self) -> list[Header]:
        return self.root.headers

    @property
    def lists(self) -> tuple[list[Part], list[Part], list[Part]]:
        """textBody, htmlBody, attachments."""
        if self._lists is None:
            self._lists = body_lists(self.root)
        return self._lists


def parse(data: bytes) -> Message:
    """The message in ``data``, whatever it is; see is_message for what is none."""
    return Message(data, split(_with_lf(data)))


def _with_lf(data: bytes) -> bytes:
    """``data`` with LF for CR if that is its only line end: same length, so offsets hold."""
    if b"\n" not in data:
        return data.replace(b"\r", b"\n")
    return data


def is_message(data: bytes) -> bool:
    """True if ``data`` begins with a header block that has a field, as parse(data).headers would say."""
    return bool(split(_with_lf(data[:65_536])).headers)


def has_attachment(message: Message) -> bool:
    """True if there is a part that a client should offer as downloadable (§4.1.4)."""
    return any(is_downloadable(part) for part in message.lists[2])


def preview(message: Message) -> str:
    """A plaintext fragment of the body of at most 256 characters (§4.1.4)."""
    text_body = message.lists[0]
    for part in text_body:
        if part.type.startswith("text/") and (found := preview_of(part)):
            return found
    return ""
