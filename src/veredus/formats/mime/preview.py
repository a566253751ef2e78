"""Text of body parts: decoding, truncation and the preview (RFC 8621 §4.1.4, §4.2)."""

import html
import re

from veredus.formats import charset as charsets
from veredus.formats.mime import transfer
from veredus.formats.mime.part import Part

MAX_PREVIEW = 256
# Octets of the encoded body to look at, one after the other, until they yield enough text.
_STEPS = (4_096, 32_768, 131_072)

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u00ad\u034f\u200b-\u200f\u2028-\u202e\u2060\ufeff]+")
# Linear on any input: what opens and is not closed goes to the end.
_INVISIBLE = re.compile(
    r"<(style|script|title|head)\b.*?(?:</\1\b[^<>]*>?|\Z)|<!--.*?(?:-->|\Z)", re.DOTALL | re.IGNORECASE
)
_INLINE_TAG = re.compile(
    r"</?(?:a|b|i|u|em|strong|span|font|small|big|sub|sup|code|s|wbr)\b[^<>]*>?", re.IGNORECASE
)
_TAG = re.compile(r"</?[A-Za-z!?][^<>]*>?")
_QUOTE = re.compile(
    r"^[ \t]*+(?:>.*|On .{5,200} wrote:[ \t]*"
    r"|-{2,}+[ \t]*+(?:(?:Original|Forwarded) [Mm]essage)?[ \t]*+-*+)$",
    re.MULTILINE,
)


def decode_text(raw: bytes, charset: str | None, encoding: str = "7bit") -> tuple[str, bool]:
    """(value, isEncodingProblem) of an EmailBodyValue: text of the decoded octets ``raw`` with LF line ends.

    ``encoding`` is only looked at to report one that is unknown.
    """
    text, problem = charsets.decode(raw, charset)
    return text.replace("\r\n", "\n"), problem or encoding not in transfer.KNOWN


def truncate_text(text: str, max_octets: int, is_html: bool) -> tuple[str, bool]:
    """(value, isTruncated): at most ``max_octets`` of UTF-8 (0: any), not cut inside an HTML tag (§4.2)."""
    if not max_octets or (len(text) <= max_octets and (text.isascii() or len(text.encode()) <= max_octets)):
        return text, False
    # No character takes less than an octet, so the rest need not be encoded.
    cut = text[:max_octets].encode()[:max_octets].decode("utf-8", "ignore")
    if is_html:
        opened = cut.rfind("<")
        if opened > cut.rfind(">"):
            cut = cut[:opened]
    return cut, True


def preview_of(part: Part) -> str:
    """At most 256 characters of the text of ``part``, white space collapsed, without looking at all of it."""
    found = ""
    for octets in _STEPS:
        end = min(part.end, part.start + octets)
        raw = transfer.decode(part.data[part.start : end], part.encoding)
        if end < part.end:  # the cut may have gone through a character
            raw = raw[: max(raw.rfind(b"\n"), raw.rfind(b" "), 0) or None]
        text, _ = charsets.decode(raw, part.charset)
        found = visible_text(text) if part.type == "text/html" else _plain_text(text)
        if end == part.end or len(found) >= MAX_PREVIEW // 2:
            break
    return found[:MAX_PREVIEW].rstrip()


def _plain_text(text: str) -> str:
    """``text`` on one line; quoted lines are left out if anything else remains."""
    if "\n>" in text or text.startswith(">") or "wrote:" in text:
        own = _collapse(_QUOTE.sub("", text.replace("\r\n", "\n")))
        if own:
            return own
    return _collapse(text)


def visible_text(markup: str) -> str:
    """What a reader sees of HTML, on one line; a sketch for previews, not a parser."""
    markup = _INVISIBLE.sub(" ", markup)
    markup = _TAG.sub(" ", _INLINE_TAG.sub("", markup))
    return _collapse(html.unescape(markup) if "&" in markup else markup)


def _collapse(text: str) -> str:
    """Words of ``text`` joined by single spaces, without controls and invisible characters."""
    if not text.isprintable():
        text = _CONTROLS.sub(_control, text)
    return " ".join(text.split())


def _control(match: re.Match[str]) -> str:
    return " " if match.group() < " " else ""
