"""Encoded words in header fields (RFC 2047) and the Text form (RFC 8621 §4.1.2.2)."""

import binascii
import re
import unicodedata

from veredus.formats import charset
from veredus.formats.mime.transfer import decode_base64

# The language suffix of RFC 2231 §5 ("=?us-ascii*en?...") is allowed and ignored.
_START = r"=\?([^?\s*]{1,64})(?:\*[^?\s]*)?\?([bBqQ])\?"
# RFC 8621 §4.1.2.2: what looks like an encoded word but begins within a word, or has white space in it, MUST
# NOT be decoded. It may touch another encoded word, or what follows it: all the parsers we know decode these.
_WORD = re.compile(r"(?:(?<!\S)|(?<=\?=))" + _START + r"([^?\s]*)\?=")
_WORD_ANYWHERE = re.compile(_START + r"([^?]*)\?=")
_MAX_NORMALIZED = 4_096
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def decode_words(text: str, *, anywhere: bool = False) -> str:
    """``text`` with its encoded words decoded; space between two neighbouring ones is dropped (§6.2).

    Neighbours of one charset are decoded together, since many senders split a
    character between two words. ``anywhere``: whatever the placement and with
    control characters kept, for places where no encoded word is legal anyway.
    """
    if "=?" not in text:
        return text
    out: list[str] = []
    octets: list[bytes] = []
    label = ""
    end = 0
    for match in (_WORD_ANYWHERE if anywhere else _WORD).finditer(text):
        name, encoding, payload = match.groups()
        decoded = _octets(payload, encoding)
        if not charset.is_known(name) and not _is_utf8(decoded):
            continue
        gap = text[end : match.start()]
        neighbour = bool(octets) and (not gap or gap.isspace())
        if octets and not (neighbour and name.lower() == label):
            out.append(_text_of(octets, label, anywhere))
            octets.clear()
        if not neighbour:
            out.append(gap)
        label = name.lower()
        octets.append(decoded)
        end = match.end()
    if octets:
        out.append(_text_of(octets, label, anywhere))
    out.append(text[end:])
    return "".join(out)


def _octets(payload: str, encoding: str) -> bytes:
    raw = payload.encode("utf-8", "replace")
    if encoding in "bB":
        return decode_base64(raw)
    return binascii.a2b_qp(raw.replace(b"\n", b"").replace(b"\r", b""), header=True)


def _is_utf8(octets: bytes) -> bool:
    """True if octets of an unknown charset are readable all the same."""
    try:
        octets.decode("utf-8")
    except UnicodeError:
        return False
    return True


def _text_of(octets: list[bytes], label: str, with_controls: bool) -> str:
    """Decoded text, without the control characters that RFC 8621 §4.1.2.2 has dropped."""
    text, _ = charset.decode(b"".join(octets), label)
    return text if with_controls or text.isprintable() else _CONTROLS.sub("", text)


def unfold(value: str) -> str:
    """``value`` without line breaks: in a field, white space follows each of them (RFC 5322 §2.2.3)."""
    if "\n" not in value:
        return value
    return value.replace("\r\n", "").replace("\n", "")


def normalize(text: str) -> str:
    """``text`` in Normalization Form C, unless a word is absurdly long: sorting its marks is quadratic."""
    if text.isascii():
        return text
    if len(text) > _MAX_NORMALIZED and max(map(len, text.split(" "))) > _MAX_NORMALIZED:
        return text
    return unicodedata.normalize("NFC", text)


def as_text(value: str) -> str:
    """The Text form of a raw header field value (RFC 8621 §4.1.2.2)."""
    return normalize(decode_words(unfold(value).lstrip(" ")))
