"""The filter algebra: what a query asks of a record, as values.

A filter of a data type turns a FilterCondition (RFC 8620 §5.5) into a ``Condition``. Conditions
are not SQL and not callables: every store compiles them in its own way, and ``matches`` is the
meaning they all must agree with. A condition reads stored properties by their wire names.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
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
    """Some record of account and type with the same ``property``, itself included, satisfies ``where``."""

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


Condition: TypeAlias = (
    Eq | In | Has | HasAny | HasOther | Range | Contains | Text | Item | Same | All | Any_ | Not
)

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


_NO_TEXTS: Texts = MappingProxyType({})


def matches(
    condition: Condition,
    record: Mapping[str, Any],
    texts: Texts = _NO_TEXTS,
    siblings: Siblings = _no_siblings,
) -> bool:
    """Whether ``record`` satisfies ``condition``: the reference meaning.

    ``texts`` are the normalized text fields of the record (``formats.search.normalize``);
    ``siblings(property, value)`` gives the account's records whose property has that value.
    """
    return _MEANING[condition.__class__](condition, record, texts, siblings)


_Record: TypeAlias = Mapping[str, Any]


def _eq(this: Eq, record: _Record, texts: Texts, siblings: Siblings) -> bool:
    return _same(record.get(this.property), this.value)


def _in(this: In, record: _Record, texts: Texts, siblings: Siblings) -> bool:
    found = record.get(this.property)
    return any(_same(found, value) for value in this.values)


def _has(this: Has, record: _Record, texts: Texts, siblings: Siblings) -> bool:
    return this.key in (record.get(this.property) or ())


def _has_any(this: HasAny, record: _Record, texts: Texts, siblings: Siblings) -> bool:
    members = record.get(this.property) or ()
    return any(key in members for key in this.keys)


def _has_other(this: HasOther, record: _Record, texts: Texts, siblings: Siblings) -> bool:
    return any(key not in this.keys for key in record.get(this.property) or ())


def _range(this: Range, record: _Record, texts: Texts, siblings: Siblings) -> bool:
    value = record.get(this.property)
    if value is None:
        return False
    return (this.at_least is None or value >= this.at_least) and (this.below is None or value < this.below)


def _contains(this: Contains, record: _Record, texts: Texts, siblings: Siblings) -> bool:
    value = record.get(this.property)
    if not isinstance(value, str):
        return False
    folded, wanted = value.casefold(), this.text.casefold()
    return folded == wanted if this.whole else wanted in folded


def _text(this: Text, record: _Record, texts: Texts, siblings: Siblings) -> bool:
    haystacks = [f" {texts[field]} " for field in this.fields if field in texts]
    return all(any(f" {' '.join(phrase)} " in text for text in haystacks) for phrase in this.phrases)


def _item(this: Item, record: _Record, texts: Texts, siblings: Siblings) -> bool:
    return any(matches(this.where, item) for item in record.get(this.property) or ())


def _same_value(this: Same, record: _Record, texts: Texts, siblings: Siblings) -> bool:
    near = siblings(this.property, record.get(this.property))
    return any(matches(this.where, other, other_texts, siblings) for other, other_texts in near)


def _all(this: All, record: _Record, texts: Texts, siblings: Siblings) -> bool:
    return all(matches(part, record, texts, siblings) for part in this.of)


def _any(this: Any_, record: _Record, texts: Texts, siblings: Siblings) -> bool:
    return any(matches(part, record, texts, siblings) for part in this.of)


def _not(this: Not, record: _Record, texts: Texts, siblings: Siblings) -> bool:
    return not matches(this.of, record, texts, siblings)


_MEANING: dict[type, Callable[[Any, _Record, Texts, Siblings], bool]] = {
    Eq: _eq,
    In: _in,
    Has: _has,
    HasAny: _has_any,
    HasOther: _has_other,
    Range: _range,
    Contains: _contains,
    Text: _text,
    Item: _item,
    Same: _same_value,
    All: _all,
    Any_: _any,
    Not: _not,
}


def _same(a: object, b: object) -> bool:
    """JSON equality: true is not 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


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


def conjuncts(where: Condition) -> list[Condition]:
    """The conditions that must all hold, as far as they can be told apart."""
    found: list[Condition] = []
    stack = [where]
    while stack:
        part = stack.pop()
        match part:
            case All(of):
                stack.extend(reversed(of))
            case Any_((one,)):
                stack.append(one)
            case Not(Not(of)):
                stack.append(of)
            case Not(Any_(of)):
                stack.extend(Not(inner) for inner in reversed(of))
            case _:
                found.append(part)
    return found
