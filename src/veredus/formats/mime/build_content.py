"""Entities as they are written: transfer encodings and multiparts (RFC 2045, RFC 2046)."""

from __future__ import annotations

import binascii
import re
from base64 import encodebytes
from collections.abc import Mapping, Sequence
from hashlib import blake2s
from typing import Final, NamedTuple

from veredus.formats.mime.build_headers import MAX_LINE, folded, with_parameters

_NOT_PLAIN: Final = bytes([*range(9), *range(11, 13), *range(14, 32), 61, *range(127, 256)])
_LINES = re.compile(rb"(?:[^\r\n]++|\r\n)*+")
_LONE_LF = re.compile(rb"(?<!\r)\n")


class Entity(NamedTuple):
    """A body part: its header fields by lower-case name, its encoded content and how that is encoded."""

    fields: Mapping[str, bytes]
    content: bytes
    encoding: str = "7bit"

    @property
    def type(self) -> bytes:
        return self.fields.get("content-type", b"").partition(b":")[2].partition(b";")[0].strip()

    def octets(self) -> bytes:
        written = b"".join(self.fields.values())
        if self.encoding != "7bit":
            written += f"Content-Transfer-Encoding: {self.encoding}\r\n".encode()
        return b"%b\r\n%b" % (written, self.content)


def leaf(type: str, parameters: Mapping[str, str], data: bytes) -> Entity:
    """A part with ``data``, its text in CRLF lines unless it is a blob's."""
    fields = {"content-type": folded("Content-Type", with_parameters(type, parameters))}
    if type.startswith("message/"):
        # Neither quoted-printable nor base64 is allowed for a message in a message (RFC 2046 §5.2.1).
        return Entity(fields, _LONE_LF.sub(b"\r\n", data), "7bit" if data.isascii() else "8bit")
    if type.startswith("text/"):
        return Entity(fields, *_as_text(data))
    return Entity(fields, *_as_base64(data))


def multipart(type: str, parts: Sequence[Entity], parameters: Mapping[str, str], seed: str) -> Entity:
    """The multipart of ``parts``; ValueError if ``parameters`` has a boundary that occurs in one of them.

    ``seed`` is what makes the boundary differ from those of other messages.
    """
    written = [part.octets() for part in parts]
    boundary = parameters.get("boundary") or _boundary(written, seed)
    delimiter = f"--{boundary}".encode()
    if any(delimiter in octets for octets in written):
        raise ValueError("has a boundary that occurs in a part")
    content = b"".join(b"%b\r\n%b\r\n" % (delimiter, octets) for octets in written) + delimiter + b"--\r\n"
    tokens = with_parameters(type, {**parameters, "boundary": boundary})
    # A multipart is as wide as its widest part (RFC 2045 §6.4).
    encoding = "8bit" if any(part.encoding == "8bit" for part in parts) else "7bit"
    return Entity({"content-type": folded("Content-Type", tokens)}, content, encoding)


def _boundary(written: Sequence[bytes], seed: str) -> str:
    """A boundary in none of ``written``; neither quoted-printable nor base64 has "=_" (RFC 2045 §6.7)."""
    number = 0
    while True:
        digest = blake2s(f"{seed} {number}".encode("utf-8", "replace"), digest_size=15).hexdigest()
        if not any(digest.encode() in octets for octets in written):
            return f"=_{digest}"
        number += 1


def _as_base64(data: bytes) -> tuple[bytes, str]:
    return encodebytes(data).replace(b"\n", b"\r\n"), "base64"


def _as_text(data: bytes) -> tuple[bytes, str]:
    """The encoding that reads best; nothing is lost, not even a lone LF, which a blob may have."""
    if not _LINES.fullmatch(data):
        return _as_base64(data)
    if data.isascii() and b"\0" not in data and max(map(len, data.split(b"\r\n"))) <= MAX_LINE:
        return data, "7bit"
    # Quoted-printable takes two octets more for each that it encodes, base64 one more for three.
    if 6 * (len(data) - len(data.translate(None, _NOT_PLAIN))) > len(data):
        return _as_base64(data)
    quoted = binascii.b2a_qp(data.replace(b"\r\n", b"\n"), istext=True)
    return quoted.replace(b"\n", b"\r\n"), "quoted-printable"
