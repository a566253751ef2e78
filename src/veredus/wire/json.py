"""I-JSON in (RFC 7493, as RFC 8620 §1.5 demands), JSON out."""

import json
import math
import re
from collections.abc import Callable
from typing import Any

import msgspec

encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode

# Deeper documents are refused: everything behind may then recurse. A filter of 100 levels has 200.
MAX_DEPTH = 300
# More arrays and objects are refused: 10 MB of "{}," take 350 MB and hold up everybody for 3 s. A request
# that uses every other limit to the full has fewer.
MAX_CONTAINERS = 250_000
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


class NotIJson(ValueError):
    """The text is not JSON, or JSON that I-JSON forbids."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotIJson("An object has two members of the same name.")
    return members


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise NotIJson("A number is out of range.")
    return value


def _constant(name: str) -> Any:
    raise NotIJson(f"{name} is not JSON.")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)


def decode(data: bytes) -> Any:
    """``data`` as Python values; raises NotIJson.

    Refused beside malformed JSON: invalid UTF-8, a byte order mark, repeated member names, lone
    surrogates, numbers out of range, nesting beyond MAX_DEPTH, more than MAX_CONTAINERS.
    """
    brackets = _brackets(data)
    if brackets > MAX_CONTAINERS and brackets - _brackets_in_strings(data) > MAX_CONTAINERS:
        raise NotIJson("There are too many arrays and objects.")
    try:
        value = _decoder.decode(data.decode("utf-8"))
        if _SURROGATE_ESCAPE.search(data):
            # Cheaper than walking all strings of every request: only an escape can make one.
            encode(value)
        if brackets > MAX_DEPTH:
            _check_depth(value)
    except UnicodeEncodeError:
        raise NotIJson("A string holds a lone surrogate.") from None
    except UnicodeDecodeError:
        raise NotIJson("The text is not UTF-8.") from None
    except RecursionError:
        raise NotIJson("The text is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise NotIJson(f"Not JSON: {error.msg} at character {error.pos}.") from None
    except ValueError as error:
        raise error if isinstance(error, NotIJson) else NotIJson("A number has too many digits.") from None
    return value


def _brackets(data: bytes) -> int:
    """At least the number of arrays and objects: strings may hold brackets, too."""
    return data.count(b"[") + data.count(b"{")


def _brackets_in_strings(data: bytes) -> int:
    return sum(_brackets(string[0]) for string in _STRING.finditer(data))


def _check_depth(value: Any) -> None:
    """Level by level, so that it does not recurse itself."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for node in level
            for inner in (node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise NotIJson("The text is nested too deeply.")
