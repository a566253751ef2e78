"""Ready-made filters and sorts (RFC 8620 §5.5): by a property, by text, by a member of a map or list."""

from typing import Any

from veredus.conditions import Condition, Contains, Eq, Has, Order, Range, Text
from veredus.formats import search
from veredus.schema.data_type import Filter, Sort
from veredus.wire.types import JsonObject


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def equals(property: str) -> Filter:
    """The property is the value given: a string, number, boolean or null."""

    def build(value: Any) -> Condition:
        if isinstance(value, list | dict):
            raise ValueError("must be a string, number, boolean or null")
        return Eq(property, value)

    return build


def contains(property: str) -> Filter:
    """The string property contains the text given, ignoring case."""
    return lambda value: Contains(property, _string(value))


def text(*fields: str) -> Filter:
    """Full-text search in these fields (RFC 8621 §4.4.1)."""
    return lambda value: Text(fields, search.parse_query(_string(value)))


def has(property: str) -> Filter:
    """The property, a map of keys to true or a list of strings, has the member given."""
    return lambda value: Has(property, _string(value))


def at_least(property: str) -> Filter:
    """The property, a number or a date, is the value given or more."""
    return lambda value: Range(property, at_least=value)


def below(property: str) -> Filter:
    """The property, a number or a date, is less than the value given."""
    return lambda value: Range(property, below=value)


def by(property: str, collation: str | None = None) -> Sort:
    """Sort by a property. ``collation``: of a string property, where the client names none
    (None: ``i;unicode-casemap``); properties of other types have none (RFC 8620 §5.5)."""

    def build(comparator: JsonObject) -> Order:
        return Order(property, comparator.get("isAscending", True), comparator.get("collation") or collation)

    return build
