"""How large a condition may be, the same for every store."""

from collections.abc import Sequence

from veredus.conditions import All, Any_, Condition, Item, Not, Order, Same

# SQLite allows expressions 1,000 deep, and ``matches`` recurses.
MAX_DEPTH = 200
MAX_PARTS = 5000


class TooComplex(ValueError):
    """A condition beyond what a store compiles; the engine refuses such filters before."""


def check(where: Condition, orders: Sequence[Order] = ()) -> None:
    """Raise TooComplex for a condition, or an order by one, that is too deep or too long."""
    _check(where)
    for order in orders:
        if not isinstance(order.by, str):
            _check(order.by)


def _check(condition: Condition) -> None:
    """Does not recurse."""
    stack = [(condition, 1)]
    parts = 0
    while stack:
        part, depth = stack.pop()
        parts += 1
        if depth > MAX_DEPTH or parts > MAX_PARTS:
            raise TooComplex(f"a condition has at most {MAX_DEPTH} levels and {MAX_PARTS} parts")
        stack.extend((inner, depth + 1) for inner in _inside(part))


def _inside(condition: Condition) -> tuple[Condition, ...]:
    match condition:
        case All(of) | Any_(of):
            return of
        case Not(of):
            return (of,)
        case Item(_, where) | Same(_, where):
            return (where,)
        case _:
            return ()
