"""How stored JSON values compare, the same in every store: null < numbers < strings < booleans."""

from typing import Any, TypeAlias

from veredus.conditions import Order
from veredus.formats import collation
from veredus.ports import Table
from veredus.wire.types import JsonObject

SortKey: TypeAlias = tuple[int, Any]


def sort_key(value: Any, algorithm: str | None = None) -> SortKey:
    """What a property sorts by; arrays and objects sort as null, ``algorithm`` concerns strings only."""
    match value:
        case bool():
            return (3, value)
        case int() | float():
            return (1, value)
        case str():
            return (2, value if algorithm is None else collation.key(algorithm, value))
        case _:
            return (0, 0)


def is_own_order(table: Table, order: Order) -> bool:
    """Whether ``order`` is by the table's order property."""
    return order.by == table.order and table.order is not None


def descending(table: Table, orders: "tuple[Order, ...] | list[Order]") -> bool:
    """Whether ties are broken newest first."""
    return bool(orders) and is_own_order(table, orders[0]) and not orders[0].ascending


def member_keys(value: Any) -> set[str]:
    """The members of a map (key: true) or a list of strings."""
    return {key for key in value if isinstance(key, str)} if isinstance(value, dict | list) else set()


def blob_ids(table: Table, record: JsonObject) -> set[str]:
    """The blobs that a record refers to."""
    found: set[str] = set()
    for name in table.blobs:
        value = record.get(name)
        found |= {value} if isinstance(value, str) else member_keys(value)
    return found
