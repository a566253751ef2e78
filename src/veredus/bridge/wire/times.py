"""Dates (RFC 3339) as Go's time.Time reads them from JSON and writes them again."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

_DATE = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)


def in_json(value: Any) -> str:
    """``value`` as Go marshals it: its own offset, the fraction to the nanosecond without zeros at its end.

    A string that is no date stays as it is (Go gives up on the whole Email); of anything else: empty.
    """
    if not isinstance(value, str):
        return ""
    parsed = _parse(value)
    return parsed[0] if parsed else value


def in_header(value: Any) -> str:
    """``value`` in UTC and whole seconds; empty when it is no date, or falls out of the years 1 to 9999."""
    parsed = _parse(value) if isinstance(value, str) else None
    if parsed is None:
        return ""
    try:
        moment = parsed[1].astimezone(UTC)
    except OverflowError:
        return ""
    return utc(moment)


def utc(moment: datetime) -> str:
    """An aware moment in UTC and whole seconds, cut and not rounded."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _parse(value: str) -> tuple[str, datetime] | None:
    match = _DATE.fullmatch(value)
    if match is None:
        return None
    seconds, fraction, sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    try:
        moment = datetime.fromisoformat(seconds).replace(tzinfo=timezone(offset))
    except ValueError:
        return None
    nanoseconds = (fraction or "")[:9].rstrip("0")
    zone = f"{sign}{hours}:{minutes}" if offset else "Z"
    return seconds + (f".{nanoseconds}" if nanoseconds else "") + zone, moment
