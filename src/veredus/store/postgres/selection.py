"""What is asked of a table, and how much of it is SQL."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from veredus.conditions import Condition, HasOther, Order, Text, conjuncts, parts
from veredus.store.postgres.schema import Layout
from veredus.store.postgres.sql import is_sql
from veredus.store.values import descending, is_own_order

# Runs one statement, with values for $1, $2 and so on.
Fetch: TypeAlias = Callable[[str, Sequence[Any]], Awaitable[list[Any]]]


class Statement(Struct):
    sql: str
    values: list[Any]


class Selection(Struct):
    """As ``Snapshot.select`` is given it. The conditions have passed ``limits.check``."""

    layout: Layout
    account: int
    where: Condition
    orders: Sequence[Order] = ()
    distinct: str | None = None
    limit: int | None = None
    offset: int = 0

    @property
    def natural(self) -> bool:
        """Whether the table's own order is all that is asked for."""
        if not self.orders:
            return True
        return len(self.orders) == 1 and is_own_order(self.layout.table, self.orders[0])

    @property
    def newest_first(self) -> bool:
        return descending(self.layout.table, list(self.orders))

    @property
    def end(self) -> int | None:
        return None if self.limit is None else self.offset + self.limit

    @property
    def ends_early(self) -> bool:
        """Whether rows in the table's order are needed only until there are enough."""
        return self.natural and self.limit is not None


class Conjunction(Struct):
    """Conditions that must all hold. ``sql``: those that are SQL; ``rest``: those that are not."""

    sql: list[Condition]
    rest: list[Condition]

    @property
    def texts(self) -> list[Text]:
        """Those that the index of words finds."""
        return [part for part in self.sql if isinstance(part, Text) and part.phrases]


def conjunction(selection: Selection) -> Conjunction:
    found = Conjunction([], [])
    for part in conjuncts(selection.where):
        (found.sql if is_sql(part, selection.layout) else found.rest).append(part)
    # A row does not tell its other members, but the members tell their rows: all at once.
    if not selection.ends_early and not found.sql and len(found.rest) == 1:
        (only,) = found.rest
        if isinstance(only, HasOther) and only.property in selection.layout.members:
            return Conjunction([only], [])
    return found


def order_is_sql(selection: Selection, order: Order) -> bool:
    if is_own_order(selection.layout.table, order):
        return True
    if isinstance(order.by, str):
        return has_column(selection.layout, order.by) and order.collation is None
    return is_sql(order.by, selection.layout)


def has_column(layout: Layout, name: str) -> bool:
    return name in layout.columns or name == "id"


def has_text(where: Condition) -> bool:
    return any(isinstance(part, Text) for part in parts(where))
