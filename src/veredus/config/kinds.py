"""The types a setting may have: how a TOML value or a text becomes one, and how one is written.

`read` takes what TOML gives; `read_text` takes what an environment variable or a file gives. Both raise
`ValueError` with a sentence that says what was expected.
"""

import json
import re
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NewType, Union, get_args, get_origin

KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40


# A number of octets, written 50MiB. No class of its own, because encoders take an int and nothing like it.
Size = NewType("Size", int)
# A number of seconds, written 90s, 5m, 24h or 7d.
Duration = NewType("Duration", float)

_SIZE_UNITS = {"TiB": TIB, "GiB": GIB, "MiB": MIB, "KiB": KIB, "B": 1}
_DURATION_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
_AMOUNT = re.compile(r"([0-9]{1,15})\s?([A-Za-z]*)")
_NONE = "none"


def name(kind: Any) -> str:
    """A kind in words, for messages and documentation."""
    if optional(kind):
        return f"{name(required(kind))} or none"
    if get_origin(kind) is Literal:
        return " | ".join(get_args(kind))
    if get_origin(kind) is tuple:
        return "list of strings"
    return {
        bool: "true or false",
        int: "integer",
        str: "string",
        Path: "path",
        Size: 'size such as "50MiB"',
        Duration: 'duration such as "30s", "5m" or "24h"',
    }[kind]


def optional(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType) and NoneType in get_args(kind)


def required(kind: Any) -> Any:
    """The kind without its None."""
    return next(part for part in get_args(kind) if part is not NoneType) if optional(kind) else kind


def read(kind: Any, value: object) -> object:
    """A value as TOML or a command-line option gives it, as ``kind``."""
    if optional(kind) and value in (None, _NONE):
        return None
    wanted = required(kind)
    if isinstance(value, str) and wanted in (Size, Duration):
        return _amount(wanted, value)
    if get_origin(wanted) is Literal and value in get_args(wanted):
        return value
    if get_origin(wanted) is tuple and isinstance(value, list | tuple):
        return _strings(kind, value)
    if wanted is Path and isinstance(value, str | Path) and str(value):
        return Path(value)
    if (wanted in (int, Size) and _is_integer(value)) or (
        wanted in (str, bool) and isinstance(value, wanted)
    ):
        return value
    raise ValueError(f"expected {name(kind)}, got {_shown(value)}")


def read_text(kind: Any, text: str) -> object:
    """A value of an environment variable or a file: lists are JSON or words with commas."""
    wanted = required(kind)
    if get_origin(wanted) is tuple:
        return read(kind, _list_of(text))
    if wanted is bool and text in ("true", "false"):
        return text == "true"
    if wanted in (int, Size) and text.isascii() and text.isdigit():
        return read(kind, int(text[:20]))
    return read(kind, text)


def write(kind: Any, value: object) -> str:
    """A value in TOML, the way a person would write it. TOML knows no null: None is ``"none"``."""
    wanted = required(kind)
    if value is None:
        return f'"{_NONE}"'
    if wanted is Size and isinstance(value, int):
        return f'"{_in_units(value, _SIZE_UNITS)}"'
    if wanted is Duration and isinstance(value, int | float):
        return f'"{_in_units(value, _DURATION_UNITS)}"'
    return json.dumps(plain(value), ensure_ascii=False)


def plain(value: object) -> object:
    """A value as JSON carries it: octets and seconds as numbers, paths as strings."""
    return str(value) if isinstance(value, Path) else value


def pattern(kind: Any) -> str:
    """A regular expression of the texts that `read` takes for a size or a duration."""
    units = [*_SIZE_UNITS, ""] if kind is Size else list(_DURATION_UNITS)
    return rf"^[0-9]{{1,15}}\s?({'|'.join(units)})$"


def _amount(kind: Any, text: str) -> object:
    """A number with its unit. A size may do without; a duration without would be a guess."""
    units: dict[str, Any] = {**_SIZE_UNITS, "": 1} if kind is Size else _DURATION_UNITS
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or found[2] not in units:
        raise ValueError(f"expected {name(kind)}, got {_shown(text)}")
    return int(found[1]) * units[found[2]]


def _in_units(value: float, units: dict[str, Any]) -> str:
    smallest = min(units, key=lambda unit: float(units[unit]))
    if value == 0:
        return f"0{'s' if smallest == 'ms' else smallest}"
    fitting = (unit for unit in units if (value / units[unit]).is_integer())
    unit = next(fitting, smallest)
    return f"{round(value / units[unit])}{unit}"


def _strings(kind: Any, items: list[object] | tuple[object, ...]) -> tuple[str, ...]:
    strings = tuple(item for item in items if isinstance(item, str))
    if len(strings) != len(items):
        raise ValueError(f"expected {name(kind)}, got a list with something else in it")
    return strings


def _list_of(text: str) -> object:
    # "[::1]:8580" begins so, too.
    if not text.lstrip().startswith("[") or re.match(r"\s*\[[0-9A-Fa-f:.]+\]:", text):
        return [word.strip() for word in text.split(",") if word.strip()]
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"expected a JSON list, got {_shown(text)}") from None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: object) -> str:
    match value:
        case dict():
            return "a table"
        case list():
            return "a list"
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value if len(value) <= 60 else value[:59] + "…", ensure_ascii=False)
        case _:
            return str(value)[:60]
