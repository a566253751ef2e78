"""The text of an HTML body part as a reader sees it, for search, snippets and previews (RFC 8621 §4.4.1).

Markup, comments, scripts and styles are no text; the attributes ``alt`` and ``title`` are. Nothing here
raises, and hostile markup costs no more than linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

_MAX_LENGTH: Final = 2 * 1024 * 1024
_MAX_DEPTH: Final = 256
_FEW_TAGS: Final = 500

_BREAK = "\x01"
# Not noscript: no reader of mail runs scripts.
_HIDDEN = "script, style, template, head > :not(title), iframe, object > param"
_INLINE = frozenset(
    "-text a abbr acronym b bdi bdo big center cite code data del dfn em font i img ins kbd label mark nobr "
    "q s samp small span strike strong sub sup time tt u var wbr".split()
)
# Elements that hold nothing, or that the next one of their kind closes: they do not nest.
_FLAT = frozenset(
    "area base br col embed hr img input link meta param source track wbr p li td th tr".split()
)

_TAG = re.compile(r"<(/?[A-Za-z][^\s/>]*)")
_MARKUP = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)|</?[A-Za-z!?][^>]*+>?", re.DOTALL | re.IGNORECASE
)
_BREAKS = re.compile(rf"[ {_BREAK}]*{_BREAK}[ {_BREAK}]*")


def html_to_text(html: str, *, limit: int | None = None, head_title: bool = True) -> str:
    """What ``html`` says, one line per block, at most ``limit`` characters of it.

    ``head_title`` includes the title of the document, which RFC 8621 §4.4.1 would leave out with the rest of
    its head. Of a document over 2 MiB the beginning is taken.
    """
    html = html[:_MAX_LENGTH]
    if _nests_too_deep(html):
        text = unescape(_MARKUP.sub(_BREAK, html)).replace("\0", "")
    else:
        text = "".join(_pieces(html, head_title))
    text = _BREAKS.sub("\n", " ".join(text.split())).strip()
    return text if limit is None else text[:limit].rstrip()


def _nests_too_deep(html: str) -> bool:
    """True if elements nest so deep that the parser's time grows with the square of the length."""
    if html.count("<") < _FEW_TAGS:
        return False
    opened: dict[str, int] = {}
    depth = 0
    for tag in _TAG.findall(html):
        name = tag.lower().lstrip("/")
        if name in _FLAT:
            continue
        if tag[0] != "/":
            opened[name] = opened.get(name, 0) + 1
            depth += 1
            if depth > _MAX_DEPTH:
                return True
        elif opened.get(name):
            opened[name] -= 1
            depth -= 1
    return False


def _pieces(html: str, head_title: bool) -> Iterator[str]:
    # As octets: a lone surrogate, which JSON may hold, is then no error.
    parser = LexborHTMLParser(html.encode("utf-8", "replace"))
    for node in parser.css(_HIDDEN if head_title else f"{_HIDDEN}, title"):
        node.decompose()
    if parser.root is None:
        return
    attributed = {node.mem_id for node in parser.css("[alt], [title]")}
    for node in parser.root.traverse(include_text=True):
        tag = node.tag
        if tag == "-text":
            previous = node.prev
            if previous is not None and previous.tag not in _INLINE:
                yield _BREAK
            yield node.text_content or ""
            continue
        if tag not in _INLINE:
            yield _BREAK
        if node.mem_id in attributed:
            yield from _attributes(node)


def _attributes(node: LexborNode) -> Iterator[str]:
    """The attributes that are shown to the reader."""
    attributes = node.attributes
    for name in ("alt", "title"):
        if value := attributes.get(name):
            yield f" {value} "
