"""Values with parameters: Content-Type and Content-Disposition (RFC 2045 §5.1, RFC 2183, RFC 2231)."""

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from veredus.formats import charset
from veredus.formats.mime.comments import strip_comments
from veredus.formats.mime.encoded_word import decode_words, normalize, unfold

_PARAMETER = re.compile(
    r';([^=;]*+)=\s*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"?|([^;]*+))', re.DOTALL
)  # possessive, and a name ends at the next semicolon: linear on any input
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_CACHED_LENGTH = 200
_MAX_PARAMETERS = 1_000


def parse(value: str) -> tuple[str, Mapping[str, str]]:
    """(value in lower case without CFWS, parameters by lower-case name, decoded) of a raw header value."""
    return _parse_short(value) if len(value) <= _CACHED_LENGTH else _parse(value)


def _parse(value: str) -> tuple[str, Mapping[str, str]]:
    text = strip_comments(unfold(value))
    head, semicolon, _ = text.partition(";")
    main = "/".join([piece.strip() for piece in head.split("/")])
    main = main.split(None, 1)[0].lower() if main else ""
    if not semicolon:
        return main, {}
    plain: dict[str, str] = {}
    extended: dict[str, list[tuple[int, bool, str]]] = {}
    for count, match in enumerate(_PARAMETER.finditer(text, len(head))):
        if count >= _MAX_PARAMETERS:
            break
        name, quoted, token = match.groups()
        content = token.strip() if quoted is None else unquote(quoted)
        name = name.strip().lower()
        if "*" in name:
            _collect(extended, name, content)
        elif name:
            plain.setdefault(name, content)
    # A boundary is matched octet by octet, whatever it looks like.
    decoded = {name: content if name == "boundary" else _clean(content) for name, content in plain.items()}
    for name, sections in extended.items():
        decoded[name] = _join(sections)
    return main, decoded


# A mailbox holds few different Content-Type values without a boundary: most messages hit this cache.
_parse_short = lru_cache(maxsize=2048)(_parse)


def _clean(text: str) -> str:
    """A parameter's text; RFC 2047 §5 forbids encoded words in it, and mail is full of them."""
    text = normalize(decode_words(text, anywhere=True))
    return text if text.isprintable() else _CONTROLS.sub(" ", text)


def unquote(quoted: str) -> str:
    """The content of a quoted-string with its quoted pairs decoded."""
    return _QUOTED_PAIR.sub(r"\1", quoted) if "\\" in quoted else quoted


def _collect(extended: dict[str, list[tuple[int, bool, str]]], name: str, content: str) -> None:
    """Keep one section of an RFC 2231 parameter: ``name*``, ``name*0`` or ``name*0*``."""
    base, _, section = name.partition("*")
    encoded = section.endswith("*") or section == ""
    number = section.rstrip("*")
    extended.setdefault(base, []).append(
        (int(number) if number.isdecimal() and len(number) < 6 else 0, encoded, content)
    )


def _join(sections: list[tuple[int, bool, str]]) -> str:
    """The value of a continued parameter (RFC 2231 §3); the first section names the charset (§4)."""
    sections.sort(key=lambda section: section[0])
    label: str | None = None
    octets: list[bytes] = []
    for index, (_, encoded, content) in enumerate(sections):
        if encoded and index == 0 and content.count("'") >= 2:
            label, _, content = content.split("'", 2)
        octets.append(unquote_to_bytes(content) if encoded else content.encode("utf-8", "replace"))
    joined = b"".join(octets)
    text = charset.decode(joined, label)[0] if label and charset.is_known(label) else charset.guess(joined)
    return _clean(text)
