"""Writing one header field from a JMAP value (RFC 8621 §4.1.2) as RFC 5322, RFC 2047 and RFC 2231 have it.

Nothing that a client sends can end a header field early: a line break in a value is an error, except the
folding that a value in Raw form may already have. A ValueError says what is wrong with a value.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote

T = TypeVar("T")

MAX_LINE: Final = 998
"""Octets of a line without its CRLF (RFC 5322 §2.1.1)."""
_LINE = 78
_ENCODED_LINE = 76

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = re.compile(r"[A-Za-z0-9._+-]+")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]"
_PHRASE = re.compile(rf"{_ATEXT}+(?: {_ATEXT}+)*", re.ASCII)
_LOCAL = re.compile(rf"(?:{_ATEXT}|\.)+|\"(?:[^\"\\]|\\.)*\"")
_DOMAIN = re.compile(rf"(?:{_ATEXT}|\.)+|\[[^\[\]\\\s]*\]")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_WORD = re.compile(r"[ \t]*[^ \t]+|[ \t]+\Z")
# What an encoded word may hold unencoded in every place that encoded words may stand (RFC 2047 §5).
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def field(name: str, form: str, value: Any) -> bytes:
    """The header field ``name`` with the JSON ``value`` in ``form``; b"" for an empty list of things."""
    if form == "asRaw":
        return _fit(name, _raw(string(value)))
    tokens = list(_FORMS[form](value))
    return b"" if not tokens else _fit(name, _fold(f"{name}:", tokens))


def folded(name: str, tokens: list[str]) -> bytes:
    """The field of which ``tokens`` are the parts; a line may end before a token that begins with a space."""
    return _fit(name, _fold(f"{name}:", tokens))


def string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def list_of(convert: Callable[[Any], T], value: Any) -> list[T]:
    if not isinstance(value, list):
        raise ValueError("must be an array")
    return [convert(item) for item in value]


def one_line(value: Any) -> str:
    """``value`` as a string that cannot end its header field."""
    text = string(value)
    if _CONTROL.search(text):
        raise ValueError("must not have control characters or line breaks")
    return text


def _fit(name: str, value: str) -> bytes:
    try:
        octets = f"{name}:{value}\r\n".encode()
    except UnicodeEncodeError:
        raise ValueError("must be Unicode text") from None
    if any(len(line) > MAX_LINE for line in octets.split(b"\r\n")):
        raise ValueError(f"has a part too long for a line of {MAX_LINE} octets")
    return octets


def _fold(first: str, tokens: list[str]) -> str:
    """``tokens`` after ``first``, with line ends where a line would be too long (RFC 5322 §2.2.3)."""
    lines = [""]
    width = len(first)
    for token in tokens:
        limit = _ENCODED_LINE if token.startswith(" =?") else _LINE
        # A line of white space alone would end the header block for some readers.
        if width + len(token) > limit and token[0] in " \t" and lines[-1].strip() and token.strip():
            lines.append("")
            width = 0
        lines[-1] += token
        width += len(token)
    return "\r\n".join(lines)


def _raw(text: str) -> str:
    """Raw form as it is; folding that is there stays, a line too long gets some."""
    lines = text.split("\r\n")
    if any(_CONTROL.search(line) for line in lines):
        raise ValueError("must not have control characters or line breaks")
    if any(line[:1] not in (" ", "\t") or not line.strip(" \t") for line in lines[1:]):
        raise ValueError("must not have a line break except before white space and text")
    return "\r\n".join(
        _fold("", _WORD.findall(line)) if len(line) > MAX_LINE - 100 else line for line in lines
    )


def _text(value: Any) -> Iterator[str]:
    """Text form (§4.1.2.2): encoded from the first to the last word that must be, readable elsewhere."""
    text = one_line(value)
    words = _WORD.findall(text)
    encode = [i for i, word in enumerate(words) if _must_encode(word)]
    if text != text.strip(" \t"):
        encode = [0, len(words) - 1]  # white space at the ends would be lost
    if not encode:
        yield from (f" {words[0]}", *words[1:]) if words else (" ",)
        return
    first, last = encode[0], encode[-1]
    span = "".join(words[first : last + 1])
    if first:
        # White space between text and an encoded word counts, that between two encoded words does not.
        bare = span.lstrip(" \t")
        encoded = list(_encoded(bare))
        encoded[0] = span.removesuffix(bare) + encoded[0].lstrip()
        yield from (f" {words[0]}", *words[1:first], *encoded)
    else:
        yield from _encoded(span)
    yield from words[last + 1 :]


def _must_encode(word: str) -> bool:
    # What looks like an encoded word but is none of ours would be decoded by the reader.
    return not word.isascii() or "=?" in word or len(word) > MAX_LINE - 200


def _encoded(text: str) -> Iterator[str]:
    """``text`` as encoded words (RFC 2047 §2): at most 75 characters each, no character split between two."""
    octets = [char.encode() for char in text]
    plain = sum(octet[0] in _Q_SAFE or octet == b" " for octet in octets)
    quoted = 3 * sum(map(len, octets)) - 2 * plain <= 4 * sum(map(len, octets)) / 3 + 4
    # The first word leaves room for the name of the field before it.
    room = 40
    chunk: list[bytes] = []
    size = 0
    for octet in octets:
        cost = (1 if octet[0] in _Q_SAFE or octet == b" " else 3 * len(octet)) if quoted else len(octet)
        if chunk and (size + cost if quoted else (size + cost + 2) // 3 * 4) > room:
            yield _encoded_word(b"".join(chunk), quoted)
            chunk, size, room = [], 0, 62
        chunk.append(octet)
        size += cost
    yield _encoded_word(b"".join(chunk), quoted)


def _encoded_word(octets: bytes, quoted: bool) -> str:
    if not quoted:
        return f" =?utf-8?b?{b64encode(octets).decode()}?="
    q = "".join(chr(o) if o in _Q_SAFE else "_" if o == 32 else f"={o:02X}" for o in octets)
    return f" =?utf-8?q?{q}?="


def _phrase(name: str) -> Iterator[str]:
    """A display name (RFC 5322 §3.2.5): atoms, a quoted string or encoded words."""
    if not name.isascii() or "=?" in name:
        yield from _encoded(name)
    elif _PHRASE.fullmatch(name):
        yield from (f" {word}" for word in name.split(" "))
    else:
        words = _WORD.findall(_quoted_string(name))
        yield from (f" {words[0]}", *words[1:])


def _quoted_string(text: str) -> str:
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return f'"{escaped}"'


def _addr_spec(email: str) -> str:
    """An addr-spec (RFC 5322 §3.4.1, RFC 6532); what is none (a draft may hold one) is quoted."""
    local, at, domain = email.rpartition("@")
    if not local or not _DOMAIN.fullmatch(domain):
        local, at, domain = email, "", ""
    if local and not _LOCAL.fullmatch(local):
        local = _quoted_string(local)
    return f"{local}{at}{domain}"


def _mapping(value: Any, known: tuple[str, str]) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not value.keys() <= set(known):
        raise ValueError(f"must be an object with {known[0]} and {known[1]}")
    return value


def _address(value: Any) -> list[str]:
    """The tokens of one EmailAddress; none if it says nothing."""
    address = _mapping(value, ("name", "email"))
    name = one_line(address.get("name") or "").strip(" \t")
    spec = _addr_spec(one_line(address.get("email")).strip(" \t"))
    if name:
        return [*_phrase(name), f" <{spec}>"]
    local, _, domain = spec.rpartition("@")
    if local and domain and local[0] != '"':
        return [f" {spec}"]
    return [f" <{spec}>"] if spec else []


def _joined(items: list[list[str]], separator: str = ",") -> list[str]:
    tokens: list[str] = []
    for item in items:
        if item and tokens:
            tokens[-1] += separator
        tokens += item
    return tokens


def _addresses(value: Any) -> list[str]:
    return _joined(list_of(_address, value))


def _grouped_addresses(value: Any) -> list[str]:
    return _joined(list_of(_group, value))


def _group(value: Any) -> list[str]:
    group = _mapping(value, ("name", "addresses"))
    tokens = _addresses(group.get("addresses"))
    if group.get("name") is None:
        return tokens
    name = [*_phrase(one_line(group["name"]).strip(" \t"))]
    name[-1] += ":"
    tokens = name + tokens
    tokens[-1] += ";"
    return tokens


def _bracketed(value: Any) -> str:
    text = one_line(value)
    if not text or re.search(r"[\s<>]", text):
        raise ValueError("must not be empty, nor have white space or angle brackets")
    return f" <{text}>"


def _message_ids(value: Any) -> list[str]:
    return list_of(_bracketed, value)


def _urls(value: Any) -> list[str]:
    return _joined([[url] for url in list_of(_bracketed, value)])


def _date(value: Any) -> list[str]:
    text = string(value)
    if not _DATE.fullmatch(text):
        raise ValueError("must be a Date such as 2014-10-30T14:12:00+08:00")
    at = datetime.fromisoformat(text)  # ValueError for the 30th of February
    day = f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04}"
    return [f" {day} {at:%H:%M:%S} {at:%z}"]


_FORMS: Mapping[str, Callable[[Any], Any]] = {
    "asText": _text,
    "asAddresses": _addresses,
    "asGroupedAddresses": _grouped_addresses,
    "asMessageIds": _message_ids,
    "asDate": _date,
    "asURLs": _urls,
}


def with_parameters(value: str, parameters: Mapping[str, str]) -> list[str]:
    """The tokens of a Content-Type or Content-Disposition field."""
    return _joined(
        [[f" {value}"], *([token] for name in parameters for token in _parameter(name, parameters[name]))],
        ";",
    )


def _parameter(name: str, value: str) -> list[str]:
    """One parameter; RFC 2231 where neither a token nor a quoted string will do."""
    room = _LINE - len(name) - 15
    if _TOKEN.fullmatch(value) and len(value) <= room:
        return [f" {name}={value}"]
    # Many readers would decode what looks like an encoded word, in a parameter too.
    if _PRINTABLE.fullmatch(value) and "=?" not in value and len(value) <= room:
        return [f" {name}={_quoted_string(value)}"]
    encoded = quote(value, safe="!#$&+^`{}~")
    if len(encoded) <= room:
        return [f" {name}*=utf-8''{encoded}"]
    first, *rest = re.findall(r"(?:%..|[^%]){1,14}", encoded)
    return [f" {name}*0*=utf-8''{first}", *(f" {name}*{i}*={piece}" for i, piece in enumerate(rest, 1))]
