"""A message ready for NATS, and how large the server will find it."""

from collections.abc import Mapping

from msgspec import Struct

MSG_ID = "Nats-Msg-Id"
_LINE = len("NATS/1.0\r\n")


class Message(Struct, frozen=True, kw_only=True):
    """One message for a stream.

    ``headers`` are clean (``headers.clean``) and without Nats-Msg-Id. ``spill_key``: the name under which the
    payload goes into the object store when it is too large for a message.
    """

    subject: str
    msg_id: str
    headers: dict[str, str]
    payload: bytes
    spill_key: str

    @property
    def all_headers(self) -> dict[str, str]:
        """What is to be published: ``headers`` and Nats-Msg-Id, by which the stream tells duplicates."""
        return {MSG_ID: self.msg_id, **self.headers}

    @property
    def size(self) -> int:
        """Octets of subject, header block and payload."""
        return len(self.subject) + block_size(self.all_headers) + len(self.payload)


def block_size(headers: Mapping[str, str]) -> int:
    """Octets of a header block on the wire: the server counts them as part of the payload."""
    return _LINE + sum(line_size(name, value) for name, value in headers.items()) + 2


def line_size(name: str, value: str) -> int:
    """Octets of one header with ``: `` and CRLF."""
    return len(name) + len(value.encode()) + 4
