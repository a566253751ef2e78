"""The Date form of a header field (RFC 8621 §4.1.2.6, RFC 5322 §3.3 and §4.3)."""

import re
from calendar import monthrange

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}
_ZONES = {
    "EST": "-05:00", "EDT": "-04:00", "CST": "-06:00", "CDT": "-05:00",
    "MST": "-07:00", "MDT": "-06:00", "PST": "-08:00", "PDT": "-07:00",
}  # fmt: skip
# "Thu, 13 Feb 1969 23:32:54 -0330"; the day name, the seconds and the zone may be missing, and
# hyphens may stand for the spaces between day, month and year.
_DATE_TIME = re.compile(
    r"\s*(?:[A-Za-z]{2,9}\.?\s*,?\s*)?0*(\d{1,2})[\s-]\s*([A-Za-z]{3})[a-z]*\.?[\s-]\s*(\d{2,5})[\s,]\s*"
    r"(\d{1,2})\s*[:.]\s*(\d{1,2})(?:\s*[:.]\s*(\d{1,2})(?:\.\d+)?)?\s*(?:([+-]\d{1,4})|([A-Za-z]{1,5})?)",
)
# "Thu Feb 13 23:32:54 -0330 1969": asctime() and its relatives.
_ASCTIME = re.compile(
    r"\s*(?:[A-Za-z]{3,9},?\s+)?([A-Za-z]{3})[a-z]*\s+(\d{1,2}),?\s+(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?"
    r"\s+(?:([+-]\d{4})\s+|([A-Za-z]{1,5})\s+)?(\d{4})",
)
_COMMENT = re.compile(r"\([^()]*\)")
_MAX_LENGTH = 512


def as_date(value: str) -> str | None:
    """The Date form of a raw value: RFC 3339 text with the sender's offset; None if it is no date."""
    if len(value) > _MAX_LENGTH:
        return None
    if "(" in value:
        value = _without_comments(value)
    if match := _DATE_TIME.match(value):
        day, month, year, hour, minute, second, offset, zone = match.groups()
    elif match := _ASCTIME.match(value):
        month, day, hour, minute, second, offset, zone, year = match.groups()
    else:
        return None
    number = _MONTHS.get(month.lower())
    if number is None:
        return None
    return _rfc3339(
        (_full_year(year), number, int(day)),
        (int(hour), int(minute), int(second or 0)),
        _offset(offset, zone),
    )


def _without_comments(value: str) -> str:
    """``value`` with comments, nested ones too, taken for a space (CFWS)."""
    value, found = _COMMENT.subn(" ", value)
    while found:
        value, found = _COMMENT.subn(" ", value)
    return value


def _full_year(digits: str) -> int:
    """The year meant by two, three or four digits (RFC 5322 §4.3)."""
    year = int(digits)
    if len(digits) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(digits) == 3 else year


def _offset(digits: str | None, zone: str | None) -> str:
    """RFC 3339 offset; unknown and military zones say nothing, so they are UTC (RFC 5322 §4.3)."""
    if digits is None:
        return _ZONES.get(zone.upper(), "Z") if zone else "Z"
    number = int(digits[1:])
    hours, minutes = (number, 0) if len(digits) < 4 else divmod(number // 100 * 60 + number % 100, 60)
    if hours > 23 or not (hours or minutes):
        return "Z"
    return f"{digits[0]}{hours:02}:{minutes:02}"


def _rfc3339(date: tuple[int, int, int], time: tuple[int, int, int], offset: str) -> str | None:
    """RFC 3339 text, or None if no calendar or clock shows these numbers."""
    year, month, day = date
    hour, minute, second = time
    if not 1 <= year <= 9999 or not 1 <= day <= monthrange(year, month)[1]:
        return None
    if hour > 23 or minute > 59 or second > 60:
        return None
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{min(second, 59):02}{offset}"
