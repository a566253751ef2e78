"""The operators of the search grammar, ``name:value`` to a node; ValueError says what was expected."""

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from typing import TypeAlias, get_args

from veredus.client.search.nodes import (
    Address,
    AddressField,
    Ago,
    Attachment,
    Header,
    In,
    Keyword,
    Node,
    Not,
    Received,
    Size,
    Text,
    TextField,
    ThreadKeyword,
)
from veredus.formats import search
from veredus.wire.types import MAX_INT

Build: TypeAlias = Callable[[str, bool], Node]

_STATES: dict[str, tuple[str, bool]] = {
    "read": ("$seen", True),
    "unread": ("$seen", False),
    "flagged": ("$flagged", True),
    "answered": ("$answered", True),
    "forwarded": ("$forwarded", True),
    "draft": ("$draft", True),
}
# RFC 8621 §4.1.1, without the quote that ends a value.
_KEYWORD = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]{1,255}\Z")
_FIELD_NAME = re.compile(r"[!-9;-~]+\Z")
_ADDRESS = re.compile(r"([^@\s]+)?@([^@\s.]+(?:\.[^@\s.]+)*)\Z")
_SIZE = re.compile(r"(\d{1,16}(?:\.\d{1,6})?)([kmg]?)(i?b)?\Z", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3}
_AGE = re.compile(r"([1-9]\d{0,4})([hdwmy])\Z")
_DAY = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?\Z")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)\Z")
# So that no time zone makes a moment that no datetime can hold.
_YEARS = range(1000, 9999)
_SHOWN = 25


def one_of(value: str, known: list[str]) -> str:
    """How an error tells what ``value`` could have been."""
    near = get_close_matches(value.lower(), known, n=1)
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known[:_SHOWN])}{more}"


def text(field: TextField) -> Build:
    """A term of words, or of an address where the field holds addresses."""

    def build(value: str, quoted: bool) -> Node:
        for name in get_args(AddressField):
            if name == field and not quoted and (found := _ADDRESS.match(value)):
                return Address(name, found[1], found[2])
        if not search.words(value):
            raise ValueError(f"expected a letter or digit to look for in {value!r}")
        return Text(field, value, quoted)

    return build


def _in(value: str, quoted: bool) -> Node:
    if not value:
        raise ValueError("expected the role, path, name or id of a Mailbox")
    return In(value)


def _has(value: str, quoted: bool) -> Node:
    if value.lower() != "attachment":
        raise ValueError(f"expected 'attachment' after has:, found {value!r}")
    return Attachment()


def _is(value: str, quoted: bool) -> Node:
    if value.lower() not in _STATES:
        raise ValueError(f"no state {value!r}: {one_of(value, list(_STATES))}")
    keyword, present = _STATES[value.lower()]
    return Keyword(keyword) if present else Not(Keyword(keyword))


def _keyword(value: str, quoted: bool) -> Node:
    if not _KEYWORD.match(value):
        raise ValueError(f"expected a keyword (RFC 8621 §4.1.1), found {value!r}")
    return Keyword(value.lower())


def _thread(value: str, quoted: bool) -> Node:
    name, _, keyword = value.partition(":")
    if name.lower() == "keyword" and _KEYWORD.match(keyword):
        return ThreadKeyword(keyword.lower())
    if value.lower() not in _STATES:
        raise ValueError(f"no state {value!r} of a thread: {one_of(value, [*_STATES, 'keyword:…'])}")
    keyword, present = _STATES[value.lower()]
    return ThreadKeyword(keyword, lacking=not present)


def _list(value: str, quoted: bool) -> Node:
    id = value.removeprefix("<").removesuffix(">")
    if not id or re.search(r"[\s<>]", id):
        raise ValueError(f"expected a List-Id such as news.example.com, found {value!r}")
    # With the brackets of the field (RFC 2919 §2) an id that only contains this one is another.
    return Header("List-Id", f"<{id}>")


def header(name: str, value: str | None) -> Node:
    """``header:name`` or ``header:name:value``."""
    if not _FIELD_NAME.match(name):
        raise ValueError(f"expected the name of a header field, found {name!r}")
    if value == "":
        raise ValueError(f"expected text after header:{name}: (or no colon there, for any value)")
    return Header(name, value)


def _header(value: str, quoted: bool) -> Node:
    name, colon, text = value.partition(":")
    return header(name, text if colon else None)


def _size(value: str) -> int:
    found = _SIZE.match(value)
    if found is None:
        raise ValueError(f"expected a size such as 500K or 1.5M, found {value!r}")
    number, prefix, suffix = found[1], found[2].lower(), (found[3] or "").lower()
    # KB is 1000 octets as in SI; K alone and KiB are 1024.
    size = float(number) * (1000 if suffix == "b" else 1024) ** _POWER[prefix]
    if size > MAX_INT:
        raise ValueError(f"{value} is larger than anything that can be")
    return int(size)


def _age(value: str) -> Ago:
    found = _AGE.match(value.lower())
    if found is None:
        raise ValueError(f"expected a time such as 12h, 30d, 2w, 6m (months) or 1y, found {value!r}")
    return Ago(int(found[1]), found[2])


def _period(value: str) -> tuple[date, date] | datetime:
    """(first day, first day after) of a day, month or year; or an instant."""
    wrong = f"expected a date such as 2026-05-04, 2026-05 or 2026-05-04T10:00:00Z, found {value!r}"
    try:
        if _INSTANT.match(value) and int(value[:4]) in _YEARS:
            return datetime.fromisoformat(value)
        if (found := _DAY.match(value)) and int(found[1]) in _YEARS:
            year, month, day = int(found[1]), found[2], found[3]
            first = date(year, int(month or 1), int(day or 1))
            if day:
                return first, first + timedelta(days=1)
            if month:
                return first, (first + timedelta(days=31)).replace(day=1)
            return first, date(year + 1, 1, 1)
    except ValueError:
        raise ValueError(f"{value!r} is no date of the calendar") from None
    raise ValueError(wrong)


def _start(value: str) -> date | datetime:
    period = _period(value)
    return period if isinstance(period, datetime) else period[0]


def _on(value: str, quoted: bool) -> Node:
    period = _period(value)
    if isinstance(period, datetime):
        raise ValueError(f"expected a day, month or year after on:, found {value!r}")
    return Received(*period)


OPERATORS: dict[str, Build] = {
    "from": text("from"),
    "to": text("to"),
    "cc": text("cc"),
    "bcc": text("bcc"),
    "subject": text("subject"),
    "body": text("body"),
    "text": text("text"),
    "in": _in,
    "has": _has,
    "is": _is,
    "keyword": _keyword,
    "thread": _thread,
    "list": _list,
    "header": _header,
    "larger": lambda value, quoted: Size(at_least=_size(value)),
    "smaller": lambda value, quoted: Size(below=_size(value)),
    "before": lambda value, quoted: Received(before=_start(value)),
    "after": lambda value, quoted: Received(since=_start(value)),
    "on": _on,
    "newer": lambda value, quoted: Received(since=_age(value)),
    "older": lambda value, quoted: Received(before=_age(value)),
}
