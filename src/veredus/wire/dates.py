"""UTCDate (RFC 8620 §1.4) from a moment, and in whole seconds."""

from datetime import UTC, datetime, timedelta

import msgspec

from veredus.wire.types import UTCDate


def utc_date(moment: datetime) -> str:
    """A moment as a UTCDate, in whole seconds; for an aware one of any zone."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"


def whole_second(value: object) -> str:
    """The first whole second not before a UTCDate. Raises ValueError: it is none."""
    date: str = msgspec.convert(value, UTCDate)
    if "." not in date:
        return date
    try:
        moment = datetime.fromisoformat(date.split(".", 1)[0]).replace(tzinfo=UTC) + timedelta(seconds=1)
    except OverflowError:
        raise ValueError("is beyond the year 9999") from None
    return utc_date(moment)
