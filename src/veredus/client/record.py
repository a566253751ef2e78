"""Records as typed objects over the JSON that came: nothing is copied, nothing is lost, nothing is made up.

A property that was not fetched raises NotFetchedError when it is read; None means that the server said null.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar, cast, overload

from veredus.client.errors import JMAPError, NotFetchedError
from veredus.wire.types import Id, JsonObject

T = TypeVar("T")
R = TypeVar("R", bound="Record")


class Property(Generic[T]):
    """A property of a Record: ``name`` on the wire, and what makes a value of its JSON."""

    def __init__(self, name: str, convert: Callable[[Any], T] | None = None) -> None:
        self.name, self._convert = name, convert

    @overload
    def __get__(self, record: None, owner: type) -> "Property[T]": ...
    @overload
    def __get__(self, record: "Record", owner: type) -> T: ...
    def __get__(self, record: "Record | None", owner: type) -> "Property[T] | T":
        if record is None:
            return self
        value = record[self.name]
        if value is None or self._convert is None:
            return cast(T, value)
        try:
            return self._convert(value)
        except (ValueError, TypeError, AttributeError):
            # Without the value: it may be of a message's content.
            what = f"{self.name!r} of {record.TYPE or 'record'} {record.json.get('id')} has no such value"
            raise JMAPError(f"{what} as its type has: it is in .json") from None


class Record(Mapping[str, Any]):
    """An object of a data type: a mapping by wire names, with attributes for what is known of it."""

    TYPE: ClassVar[str] = ""
    __slots__ = ("json",)

    id = Property[Id]("id")

    def __init__(self, json: JsonObject) -> None:
        self.json = json

    def __getitem__(self, name: str) -> Any:
        try:
            return self.json[name]
        except KeyError:
            raise NotFetchedError(self.TYPE or "record", name) from None

    def __contains__(self, name: object) -> bool:
        return name in self.json

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a property, or ``default`` where it was not fetched."""
        return self.json.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self.json)

    def __len__(self) -> int:
        return len(self.json)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and type(self) is type(other) and self.json == other.json

    def __hash__(self) -> int:
        return hash((self.TYPE, self.json.get("id")))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.json!r})"


def date(value: str) -> datetime:
    """A Date or UTCDate (§1.4) as an aware datetime; raises ValueError."""
    return datetime.fromisoformat(value)


def each(convert: Callable[[Any], T]) -> Callable[[list[Any]], list[T]]:
    """For a property that holds a list."""
    return lambda values: [convert(value) for value in values]


def keys(value: Mapping[str, bool]) -> frozenset[str]:
    """A set as JMAP has it: the names that map to true."""
    return frozenset(name for name, held in value.items() if held)
