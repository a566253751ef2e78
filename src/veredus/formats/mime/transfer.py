"""Content-Transfer-Encodings, decoded tolerantly (RFC 2045 §6)."""

import binascii
import re

_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
)
_TRAILING_SPACE = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n)")
_UU_BEGIN = re.compile(rb"^begin [0-7]{3,4} [^\n]*\n", re.MULTILINE)
_UU_NAMES = frozenset({"x-uuencode", "uuencode", "x-uue", "uue"})

# The encodings whose decoded size differs from the encoded one; with those that do not, all we know.
CODED = frozenset({"base64", "quoted-printable"}) | _UU_NAMES
KNOWN = CODED | {"7bit", "8bit", "binary"}


def decode(data: bytes, encoding: str) -> bytes:
    """Octets of a body in Content-Transfer-Encoding ``encoding`` (lower case); as is if unknown."""
    if encoding == "base64":
        return decode_base64(data)
    if encoding == "quoted-printable":
        return decode_quoted_printable(data)
    if encoding in _UU_NAMES:
        return _decode_uu(data)
    return data


def decode_base64(data: bytes) -> bytes:
    """Octets of base64 text; whatever is not of the alphabet is skipped, missing padding is supplied."""
    try:
        return binascii.a2b_base64(data)
    except binascii.Error:
        pass
    digits = data.translate(None, _NOT_BASE64)
    end = digits.find(b"=")
    digits = digits[:end] if end >= 0 else digits
    digits = digits[: len(digits) - 1] if len(digits) % 4 == 1 else digits
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def decode_quoted_printable(data: bytes) -> bytes:
    """Octets of quoted-printable text; space at line ends was added in transport and goes (§6.7 rule 3)."""
    if b" \n" in data or b" \r\n" in data or b"\t\n" in data or b"\t\r\n" in data:
        data = _TRAILING_SPACE.sub(b"", data)
    return binascii.a2b_qp(data)


def _decode_uu(data: bytes) -> bytes:
    """Octets of a uuencoded body: the lines between "begin" and "end"."""
    begin = _UU_BEGIN.search(data)
    if begin is None:
        return data
    out = []
    for line in data[begin.end() :].splitlines():
        if not line or line in (b"end", b"`", b" "):
            break
        try:
            out.append(binascii.a2b_uu(line))
        except binascii.Error:
            # Some encoders write wrong trailing bits or padding: the length character says what is meant.
            octets = (line[0] - 32) & 63
            out.append(_uu_line(line[: 1 + (octets * 4 + 5) // 3]))
    return b"".join(out)


def _uu_line(line: bytes) -> bytes:
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        return b""
