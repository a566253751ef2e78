"""Ids of blobs: of stored bytes, and of parts of a stored message.

A stored blob is named by its digest. A body part has no bytes of its own: its id says which bytes
of which message it is, and how they are encoded, so that it can be read without parsing anything:
``{message blob id}-{encoding letter}-{start}-{end}``. The letters are those of ``ENCODINGS``.
"""

import re

from msgspec import Struct

from veredus.wire.types import BlobId

# Content-Transfer-Encodings by letter; "i" stands for every identity encoding.
ENCODINGS = {"b": "base64", "q": "quoted-printable", "u": "x-uuencode", "i": "binary"}
_LETTERS = {name: letter for letter, name in ENCODINGS.items()} | dict.fromkeys(
    ("uuencode", "x-uue", "uue"), "u"
)
_PART = re.compile(r"(B[a-z2-7]{52})-([bqui])-(\d{1,12})-(\d{1,12})\Z")


class Part(Struct, frozen=True):
    """Bytes ``[start, end)`` of the stored blob ``whole``, to be decoded from ``encoding`` (None: all)."""

    whole: BlobId
    encoding: str | None = None
    start: int = 0
    end: int | None = None


def part_id(whole: BlobId, encoding: str, start: int, end: int) -> BlobId:
    """The id of a part; unknown encodings count as identity (RFC 2045 §6.4)."""
    return f"{whole}-{_LETTERS.get(encoding, 'i')}-{start}-{end}"


def parse(id: str) -> Part:
    """What an id stands for. An id of another form stands for a stored blob of that name."""
    match = _PART.match(id)
    if match is None:
        return Part(id)
    whole, letter, start, end = match.groups()
    return Part(whole, ENCODINGS[letter], int(start), int(end))
