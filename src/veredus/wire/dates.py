"""UTCDate (RFC 8620 §1.4) from a moment."""

from datetime import UTC, datetime


def utc_date(moment: datetime) -> str:
    """A moment as a UTCDate, in whole seconds; for an aware one of any zone."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"
