"""The filter algebra: what a query asks of a record, as values.

A filter of a data type turns a FilterCondition (RFC 8620 §5.5) into a ``Condition``. Conditions
are not SQL and not callables: every store compiles them in its own way, and ``matches`` is the
meaning they all must agree with. A condition reads stored properties by their wire names.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from veredus.formats import search

Scalar: TypeAlias = str | int | bool | None


class Eq(Struct, frozen=True):
    """The property is exactly ``value`` (absent is null)."""

    property: str
    value: Scalar


class In(Struct, frozen=True):
    """The property is one of ``values``."""

    property: str
    values: tuple[Scalar, ...]


class Has(Struct, frozen=True):
    """The property, a map of keys to true or a list of strings, has the member ``key``."""

    property: str
    key: str


class HasAny(Struct, frozen=True):
    """The property, a map or list, has at least one of ``keys`` as a member."""

    property: str
    keys: tuple[str, ...]


class HasOther(Struct, frozen=True):
    """The property, a map or list, has a member that is not one of ``keys``."""

    property: str
    keys: tuple[str, ...]


class Range(Struct, frozen=True):
    """``at_least <= property < below``; numbers, or UTCDates and other strings by code point."""

    property: str
    at_least: str | int | None = None
    below: str | int | None = None


class Contains(Struct, frozen=True):
    """The string property contains ``text``, or with ``whole`` is ``text``, ignoring case (str.casefold)."""

    property: str
    text: str
    whole: bool = False


class Text(Struct, frozen=True):
    """Each phrase occurs in one of the record's indexed text ``fields`` (see ``formats.search``)."""

    fields: tuple[str, ...]
    phrases: tuple[search.Phrase, ...]


class Item(Struct, frozen=True):
    """Some element of the array property, an object, satisfies ``where`` (Eq, Contains, All, Any, Not)."""

    property: str
    where: "Condition"


class Same(Struct, frozen=True):
    """Some record of the account and type with the same ``property``, itself included, satisfies ``where``."""

    property: str
    where: "Condition"


class All(Struct, frozen=True):
    """Every one of ``of`` holds; true when there are none."""

    of: "tuple[Condition, ...]" = ()


class Any_(Struct, frozen=True):
    """At least one of ``of`` holds; false when there are none."""

    of: "tuple[Condition, ...]" = ()


class Not(Struct, frozen=True):
    """``of`` does not hold."""

    of: "Condition"


Condition: TypeAlias = Eq | In | Has | HasAny | HasOther | Range | Contains | Text | Item | Same | All | Any_ | Not

EVERYTHING = All()


class Order(Struct, frozen=True):
    """One Comparator (RFC 8620 §5.5): by a stored property, or by whether a condition holds (false first).

    ``collation`` is one of ``formats.collation.ALGORITHMS``, None for numbers, dates and plain code points.
    """

    by: "str | Condition"
    ascending: bool = True
    collation: str | None = None


Texts: TypeAlias = Mapping[str, str]
Siblings: TypeAlias = Callable[[str, Any], Iterable[tuple[Mapping[str, Any], Texts]]]


def _no_siblings(property: str, value: Any) -> Iterable[tuple[Mapping[str, Any], Texts]]:
    raise LookupError(f"no other records to compare {property} with")


def matches(
    condition: Condition,
    record: Mapping[str, Any],
    texts: Texts = {},
    siblings: Siblings = _no_siblings,
) -> bool:
    """Whether ``record`` satisfies ``condition``: the reference meaning.

    ``texts`` are the normalized text fields of the record (``formats.search.normalize``);
    ``siblings(property, value)`` gives the account's records whose property has that value.
    """
    match condition:
        case Eq(name, value):
            return _same(record.get(name), value)
        case In(name, values):
            return any(_same(record.get(name), value) for value in values)
        case Has(name, key):
            return key in (record.get(name) or ())
        case HasAny(name, keys):
            return any(key in (record.get(name) or ()) for key in keys)
        case HasOther(name, keys):
            return any(key not in keys for key in record.get(name) or ())
        case Range(name, at_least, below):
            return _in_range(record.get(name), at_least, below)
        case Contains(name, text, whole):
            value = record.get(name)
            if not isinstance(value, str):
                return False
            folded, wanted = value.casefold(), text.casefold()
            return folded == wanted if whole else wanted in folded
        case Text(fields, phrases):
            found = (f" {texts[field]} " for field in fields if field in texts)
            haystacks = list(found)
            return all(any(f" {' '.join(p)} " in text for text in haystacks) for p in phrases)
        case Item(name, where):
            return any(matches(where, item) for item in record.get(name) or ())
        case Same(name, where):
            near = siblings(name, record.get(name))
            return any(matches(where, other, other_texts, siblings) for other, other_texts in near)
        case All(of):
            return all(matches(part, record, texts, siblings) for part in of)
        case Any_(of):
            return any(matches(part, record, texts, siblings) for part in of)
        case Not(of):
            return not matches(of, record, texts, siblings)


def _same(a: object, b: object) -> bool:
    """JSON equality: true is not 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _in_range(value: Any, at_least: Any, below: Any) -> bool:
    if value is None:
        return False
    return (at_least is None or value >= at_least) and (below is None or value < below)


def parts(condition: Condition) -> Iterable[Condition]:
    """``condition`` and every condition inside it."""
    yield condition
    match condition:
        case All(of) | Any_(of):
            for part in of:
                yield from parts(part)
        case Not(of):
            yield from parts(of)
        case Item(_, where) | Same(_, where):
            yield from parts(where)


def all_of(*conditions: Condition) -> Condition:
    """The conjunction, flattened: the form in which stores recognise what an index answers."""
    flat: list[Condition] = []
    for condition in conditions:
        flat.extend(condition.of if isinstance(condition, All) else (condition,))
    return flat[0] if len(flat) == 1 else All(tuple(flat))
