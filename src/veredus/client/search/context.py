"""What a search is relative to: the Mailboxes of an account, and where and when the searcher is."""

import calendar
from datetime import UTC, datetime, time, timedelta, tzinfo

from msgspec import Struct

from veredus.client.search.mailboxes import Mailboxes
from veredus.client.search.nodes import Ago, Moment
from veredus.wire.dates import utc_date

_HOURS = {"h": 1, "d": 24, "w": 24 * 7}
_EARLIEST = datetime.min.replace(tzinfo=UTC)


class Context(Struct, frozen=True):
    """``now`` is aware; days begin and end in ``zone``."""

    mailboxes: Mailboxes
    now: datetime
    zone: tzinfo = UTC

    def utc(self, moment: Moment) -> str:
        """``moment`` as a UTCDate, in whole seconds."""
        match moment:
            case Ago():
                return utc_date(self._ago(moment))
            case datetime():
                return utc_date(moment)
            case _:
                return utc_date(datetime.combine(moment, time.min, self.zone))

    def _ago(self, ago: Ago) -> datetime:
        """A month ago is the same day of the month before, or that month's last."""
        now = self.now.astimezone(self.zone)
        try:
            if ago.unit in _HOURS:
                # In UTC: 24 hours are 24 hours, also where clocks were changed in between.
                return now.astimezone(UTC) - timedelta(hours=ago.amount * _HOURS[ago.unit])
            months = now.year * 12 + now.month - 1 - ago.amount * (12 if ago.unit == "y" else 1)
            year, month = months // 12, months % 12 + 1
            day = min(now.day, calendar.monthrange(year, month)[1])
            return now.replace(year=year, month=month, day=day).astimezone(UTC)
        except (ValueError, OverflowError):
            return _EARLIEST
