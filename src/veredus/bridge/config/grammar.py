"""Durations and sizes as jmap2nats writes them: durations of Go's package time, octets with a unit.

The readers raise `ValueError` with a sentence that says what was expected.
"""

import json
import re
from fractions import Fraction

_MOST = 2**63 - 1  # both are an int64 in Go
_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, the micro sign
    "μs": 1_000,  # U+03BC, the Greek letter
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DAYS = {"d": 24 * _NANOSECONDS["h"]}
_TERM = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([^0-9.]*)", re.ASCII)
_DIGITS = 40  # far more than an int64 has; the rest of a number as long would only cost time

# The longer names first: each ends in "B".
_OCTETS = {
    "TiB": 2**40,
    "GiB": 2**30,
    "MiB": 2**20,
    "KiB": 2**10,
    "GB": 10**9,
    "MB": 10**6,
    "KB": 10**3,
    "B": 1,
}
_WHOLE = re.compile(r"[+-]?[0-9]{1,40}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)


def parse_duration(text: str, *, days: bool = False) -> float:
    """Seconds of a Go duration: ``168h``, ``1h30m``, ``1.5h``, ``250ms``, ``-1s``, and ``0`` without a unit.

    ``days``: take ``7d``, too, which Go does not.
    """
    units = _NANOSECONDS | _DAYS if days else _NANOSECONDS
    negative, rest = text.startswith("-"), text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0.0
    total, at = 0, 0
    while at < len(rest) or at == 0:
        term = _TERM.match(rest, at)
        if term is None or len(term[1]) > _DIGITS:
            raise _bad_duration(text)
        if term[2] not in units:
            raise _bad_duration(text, f"unknown unit {shown(term[2])}" if term[2] else "a unit is missing")
        total += _nanoseconds(term[1], units[term[2]])
        at = term.end()
    if total > _MOST:
        raise _bad_duration(text, "too long")
    return (-total if negative else total) / 10**9


def format_duration(seconds: float) -> str:
    """A duration as Go prints it: ``168h0m0s``, ``1.5s``, ``250ms``, ``0s``."""
    amount = round(Fraction(seconds) * 10**9)
    sign, amount = ("-" if amount < 0 else ""), abs(amount)
    if amount == 0:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        if amount < _NANOSECONDS[unit] * 1_000:
            return f"{sign}{_decimal(amount, _NANOSECONDS[unit])}{unit}"
    minutes, within = divmod(amount, _NANOSECONDS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(within, _NANOSECONDS['s'])}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def parse_size(text: str) -> int:
    """Octets of ``64MiB``, ``1.5 GB``, ``512B`` or ``1024``. Less than one octet is cut off, as in Go."""
    bare = text.strip()
    unit = next((unit for unit in _OCTETS if bare.endswith(unit)), "")
    number = bare.removesuffix(unit).strip()
    if _WHOLE.fullmatch(number):
        octets = int(number) * _OCTETS.get(unit, 1)
    elif unit and len(number) <= _DIGITS and _NUMBER.fullmatch(number):
        try:
            octets = int(float(number) * _OCTETS[unit])
        except OverflowError:  # 1e400 is infinite
            octets = _MOST + 1
    else:
        raise _bad_size(text)
    if abs(octets) > _MOST:
        raise _bad_size(text, "too large")
    return octets


def format_size(octets: int) -> str:
    """In the largest binary unit that is exact: ``64MiB``, ``1536KiB``, ``1000B``."""
    for unit in ("GiB", "MiB", "KiB"):
        if octets >= _OCTETS[unit] and octets % _OCTETS[unit] == 0:
            return f"{octets // _OCTETS[unit]}{unit}"
    return f"{octets}B"


def shown(value: object) -> str:
    """A value of the file in a message: short, and on one line. Never for a secret."""
    match value:
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            text = json.dumps(value, ensure_ascii=False, default=str)
            return text if len(text) <= 60 else f"{text[:59]}…"


def _nanoseconds(number: str, unit: int) -> int:
    """Go takes the fraction as a float: a third of an hour, written out far enough, is 20 minutes."""
    whole, _, decimals = number.partition(".")
    decimals = decimals[: 19 if int(decimals[:19] or 0) <= _MOST else 18]
    fraction = int(float(decimals or 0) * (unit / 10 ** len(decimals)))
    return int(whole or 0) * unit + fraction


def _decimal(amount: int, unit: int) -> str:
    """``amount / unit`` with as many decimals as it has; units are powers of ten here."""
    whole, rest = divmod(amount, unit)
    decimals = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{decimals}" if decimals else str(whole)


def _bad_duration(text: str, why: str = "") -> ValueError:
    return ValueError(
        f'expected a duration such as "168h" or "1h30m", got {shown(text)}{f" ({why})" if why else ""}'
    )


def _bad_size(text: str, why: str = "") -> ValueError:
    return ValueError(
        f"expected a size: a number of octets, or one with B, KiB, MiB, GiB, KB, MB or GB, "
        f"got {shown(text)}{f' ({why})' if why else ''}"
    )
