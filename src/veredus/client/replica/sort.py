"""The order of a query's results (RFC 8620 §5.5, RFC 8621 §2.3, §4.4.2)."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from veredus.client.search import SearchError
from veredus.formats.subject import base_subject

Record = Mapping[str, Any]
R = TypeVar("R", bound=Record)


def ordered(records: list[R], sort: Sequence[Mapping[str, Any]]) -> list[R]:
    """Raises SearchError for a property that a replica cannot sort by."""
    for comparator in reversed(sort):
        key = _key(comparator)
        records = sorted(records, key=key, reverse=not comparator.get("isAscending", True))
    return records


def _key(comparator: Mapping[str, Any]) -> Callable[[Record], Any]:
    name = comparator["property"]
    if name == "hasKeyword":
        keyword = str(comparator["keyword"]).lower()
        return lambda record: keyword in record["keywords"]
    if name not in _VALUES:
        raise SearchError(f"a replica does not sort by {name!r}: ask the server")
    value = _VALUES[name]
    return lambda record: _comparable(value(record))


def _comparable(value: Any) -> tuple[bool, Any]:
    """null comes first; text has no case."""
    return (value is not None, value.casefold() if isinstance(value, str) else (value or 0))


def _moment(name: str) -> Callable[[Record], Any]:
    return lambda record: None if record[name] is None else datetime.fromisoformat(record[name]).timestamp()


def _first(name: str) -> Callable[[Record], Any]:
    def value(record: Record) -> Any:
        addresses = record[name] or ()
        return (addresses[0].get("name") or addresses[0].get("email") or "") if addresses else ""

    return value


def _property(name: str) -> Callable[[Record], Any]:
    return lambda record: record[name]


_VALUES: dict[str, Callable[[Record], Any]] = {
    "receivedAt": _moment("receivedAt"),
    "sentAt": _moment("sentAt"),
    "subject": lambda record: base_subject(record["subject"] or ""),
    "from": _first("from"),
    "to": _first("to"),
    **{name: _property(name) for name in ("id", "size", "name", "sortOrder", "parentId")},
}
