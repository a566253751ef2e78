"""How blobs are named and dated: what every blob store shares."""

import re
from base64 import b32encode
from datetime import UTC, datetime, timedelta

from blake3 import blake3

from veredus.ports import Unavailable

# Chunks of ``open`` are never longer.
CHUNK = 256 * 1024

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# 256 bits are 51 digits of five bits and one bit more, so the last digit is a or q.
_NAME = re.compile(r"B[a-z2-7]{51}[aq]\Z")


class Damaged(Unavailable):
    """The bytes that are kept under a name have another digest."""


def blob_id(digest: bytes) -> str:
    """The id of the blob with this BLAKE3 digest. The B is there because no id shall begin with a digit
    (RFC 8620 §1.2).
    """
    return "B" + b32encode(digest).decode("ascii").rstrip("=").lower()


def id_of(data: bytes) -> str:
    return blob_id(blake3(data).digest())


def is_blob_id(id: str) -> bool:
    """Whether ``id`` can be the name of a blob; what is not never reaches a path or a statement."""
    return _NAME.match(id) is not None


def from_micros(micros: int) -> datetime:
    """Stores keep times as microseconds since 1970, which SQLite and file systems both hold exactly."""
    return _EPOCH + timedelta(microseconds=micros)


def to_micros(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND
