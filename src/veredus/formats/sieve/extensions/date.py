"""date (RFC 5260 §4-5): the tests date and currentdate."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo

from veredus.formats.mime.date import as_date
from veredus.formats.sieve.fields import FIELDS, field_names, index_of
from veredus.formats.sieve.matching import MATCHING, matcher
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec, Tag
from veredus.formats.sieve.state import Run, Test

_ZONE = re.compile(r"([+-])(\d\d)([0-5]\d)", re.ASCII)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_JULIAN = 678_576  # from Python's ordinal of a day to its modified Julian day number


def _zone(time: datetime) -> str:
    minutes = int((time.utcoffset() or timedelta()).total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"


def _std11(time: datetime) -> str:
    """RFC 5322 §3.3, in English wherever we are."""
    day, month = _DAYS[time.weekday()], _MONTHS[time.month - 1]
    return f"{day}, {time.day:02} {month} {time.year:04} {time:%H:%M:%S} {_zone(time)}"


def _iso8601(time: datetime) -> str:
    zone = _zone(time)
    return f"{time.year:04}-{time:%m-%dT%H:%M:%S}{zone[:3]}:{zone[3:]}"


# §4.2
_PARTS: dict[str, Callable[[datetime], str]] = {
    "year": lambda time: f"{time.year:04}",
    "month": lambda time: f"{time.month:02}",
    "day": lambda time: f"{time.day:02}",
    "date": lambda time: f"{time.year:04}-{time:%m-%d}",
    "julian": lambda time: str(time.toordinal() - _JULIAN),
    "hour": lambda time: f"{time.hour:02}",
    "minute": lambda time: f"{time.minute:02}",
    "second": lambda time: f"{time.second:02}",
    "time": lambda time: f"{time:%H:%M:%S}",
    "iso8601": _iso8601,
    "std11": _std11,
    "zone": _zone,
    "weekday": lambda time: str((time.weekday() + 1) % 7),
}


def _date(args: Arguments) -> Test:
    fields, pick = field_names(args, 0), index_of(args)
    part, moved, matches = _part(args, 1), _mover(args), matcher(args, 2)

    def date(run: Run) -> bool:
        values = [value for name in fields(run) for value in run.headers.raw(name)[pick or slice(None)]]
        times = [time for value in values if (time := _time(value)) is not None]
        return matches(run, [part(moved(run, time)) for time in times])

    return date


def _currentdate(args: Arguments) -> Test:
    part, moved, matches = _part(args, 0), _mover(args), matcher(args, 1)

    def currentdate(run: Run) -> bool:
        now = run.environment.now
        return matches(run, [part(moved(run, now))])

    return currentdate


def _part(args: Arguments, at: int) -> Callable[[datetime], str]:
    name = args.constant(at, "the part of a date").lower()
    if name not in _PARTS:
        raise args.error(f'there is no part "{name}" of a date; there are {", ".join(_PARTS)}', at)
    return _PARTS[name]


def _mover(args: Arguments) -> Callable[[Run, datetime], datetime]:
    """Into the zone that the test asks for; without, that of the server (§4.1)."""
    if args.has("originalzone"):
        return lambda run, time: time
    if not args.has("zone"):
        return lambda run, time: _moved(time, run.environment.now.tzinfo)
    match = _ZONE.fullmatch(args.constant("zone", "the zone"))
    if match is None or int(match[2]) > 23:
        raise args.error("a zone is written as +hhmm or -hhmm", "zone")
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    zone = timezone(-offset if match[1] == "-" else offset)
    return lambda run, time: _moved(time, zone)


def _moved(time: datetime, zone: tzinfo | None) -> datetime:
    try:
        return time.astimezone(zone)
    except OverflowError:  # on the first or last day that there is
        return time


def _time(value: str) -> datetime | None:
    """The time in a field; in one that traces a way, such as Received, behind the last semicolon."""
    text = as_date(value.rpartition(";")[2])
    return datetime.fromisoformat(text) if text else None


_ZONES = (Tag("zone", Kind.STRING, "zone"), Tag("originalzone", group="zone"))

DATE = Extension(
    ("date",),
    tests=(
        Spec(
            "date",
            _date,
            (Kind.STRING, Kind.STRING, Kind.STRINGS),
            tags=_ZONES,
            traits=(MATCHING, FIELDS),
        ),
        Spec("currentdate", _currentdate, (Kind.STRING, Kind.STRINGS), tags=_ZONES[:1], traits=(MATCHING,)),
    ),
)
