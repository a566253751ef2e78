"""Filters and sorts of Foo/query (RFC 8620 §5.5) turned into the conditions and orders of a store."""

from typing import Any

import msgspec

from veredus.conditions import All, Any_, Condition, Eq, Not, Order, Range, all_of
from veredus.formats.collation import ALGORITHMS
from veredus.schema import Access, DataType, Mark, QueryPlan, Unsupported
from veredus.wire.arguments import FilteredArguments
from veredus.wire.errors import MethodError
from veredus.wire.types import JsonObject

DEFAULT_COLLATION = "i;unicode-casemap"
# Deeper or larger filters are refused: no search form makes them, and they cost without bound.
MAX_DEPTH = 50
MAX_CONDITIONS = 1000
_TOO_LARGE = f"A filter has at most {MAX_CONDITIONS} conditions, nested at most {MAX_DEPTH} deep."

# Each may be a column of a statement, and databases count those.
_MOST_COMPARATORS = 100


def plan(ctx: Access, type: DataType, args: FilteredArguments) -> QueryPlan:
    """What a query asks of the store."""
    where = filter_of_call(ctx, type, args.filter)
    if type.shown is not None:
        where = all_of(where, type.shown(ctx))
    try:
        comparators = args.sort or ()
        if len(comparators) > _MOST_COMPARATORS:
            raise Unsupported(f"At most {_MOST_COMPARATORS} comparators.")
        order = tuple(_sort(type, comparator) for comparator in comparators) or type.default_sort
    except Unsupported as error:
        raise MethodError.unsupported_sort(str(error)) from None
    made = QueryPlan(where, order)
    return type.refine(made, args) if type.refine else made


def filter_of_call(ctx: Access, type: DataType, filter: Any) -> Condition:
    """``compile_filter`` for a client who may only name what is of the capabilities in use."""
    where = compile_filter(type, filter)
    _check_capabilities(ctx, type, filter)
    return where


def compile_filter(type: DataType, filter: Any) -> Condition:
    """A filter argument as a condition; raises MethodError."""
    try:
        return _filter(type, filter, MAX_DEPTH, [MAX_CONDITIONS])
    except Unsupported as error:
        raise MethodError.unsupported_filter(str(error)) from None


def _check_capabilities(ctx: Access, type: DataType, filter: Any) -> None:
    """Refuse what a compiled filter has of capabilities that are not in use (RFC 8620 §1.8)."""
    unknown = {name for name, uri in type.filter_capabilities.items() if uri not in ctx.using}
    pending = [filter] if unknown and filter else []
    while pending:
        part = pending.pop()
        pending += part.get("conditions", ()) if "operator" in part else ()
        for name in unknown.intersection(part):
            raise MethodError.unsupported_filter(f"The filter {name} needs {type.filter_capabilities[name]}.")


def _filter(type: DataType, filter: Any, depth: int, budget: list[int]) -> Condition:
    if filter is None:
        return All()
    if not isinstance(filter, dict):
        raise MethodError.invalid_arguments("A filter is a FilterOperator, a FilterCondition or null.")
    budget[0] -= 1
    if depth == 0 or budget[0] < 0:
        raise Unsupported(_TOO_LARGE)
    if "operator" in filter:
        return _operator(type, filter, depth, budget)
    budget[0] -= len(filter)
    if budget[0] < 0:
        raise Unsupported(_TOO_LARGE)
    return all_of(*(_condition(type, name, value) for name, value in filter.items()))


def _operator(type: DataType, filter: JsonObject, depth: int, budget: list[int]) -> Condition:
    conditions = filter.get("conditions")
    if not isinstance(conditions, list) or set(filter) != {"operator", "conditions"}:
        raise MethodError.invalid_arguments("A FilterOperator has an operator and a list of conditions.")
    if any(condition is None for condition in conditions):
        raise MethodError.invalid_arguments("A condition of a FilterOperator may not be null.")
    parts = tuple(_filter(type, condition, depth - 1, budget) for condition in conditions)
    match filter["operator"]:
        case "AND":
            return all_of(*parts)
        case "OR":
            return Any_(parts)
        case "NOT":
            return Not(Any_(parts))
    raise MethodError.invalid_arguments("The operator of a FilterOperator is AND, OR or NOT.")


def _condition(type: DataType, name: str, value: Any) -> Condition:
    build = type.filters.get(name)
    if build is None:
        raise Unsupported(f"{type.name} has no filter {name[:100]!r}.")
    try:
        condition = build(value)
    except Unsupported:
        raise
    except (ValueError, msgspec.ValidationError) as error:
        raise MethodError.invalid_arguments(f"filter {name!r}: {error}") from None
    if not _of_right_type(type, condition):
        raise MethodError.invalid_arguments(f"filter {name!r}: the value is not of the property's type.")
    return condition


def _of_right_type(type: DataType, condition: Condition) -> bool:
    """Whether a condition that compares one property does so with a value of its type."""
    match condition:
        case Not(of):
            return _of_right_type(type, of)
        case Eq(name, value) if name in type.properties:
            return value.__class__ in type.properties[name].kinds
        case Range(name, at_least, below) if name in type.properties:
            bounds = [bound for bound in (at_least, below) if bound is not None]
            return bool(bounds) and all(type.properties[name].check(bound) for bound in bounds)
    return True


def _sort(type: DataType, comparator: JsonObject) -> Order:
    name = comparator.get("property")
    if not isinstance(name, str) or not isinstance(comparator.get("isAscending", True), bool):
        raise MethodError.invalid_arguments(
            "A Comparator has a property, a string, and isAscending, a boolean."
        )
    collation = comparator.get("collation")
    if collation is not None and not isinstance(collation, str):
        raise MethodError.invalid_arguments("The collation of a Comparator is a string.")
    if collation is not None and collation not in ALGORITHMS:
        raise Unsupported(f"No collation {collation[:100]!r}.")
    build = type.sorts.get(name)
    if build is None:
        raise Unsupported(f"{type.name} is not sorted by {name[:100]!r}.")
    try:
        order = build(comparator)
    except Unsupported:
        raise
    except ValueError as error:
        raise MethodError.invalid_arguments(f"sort by {name!r}: {error}") from None
    return _collated(type, order)


def _collated(type: DataType, order: Order) -> Order:
    """§5.5: strings have a collation, by default one that knows Unicode; for other types it is ignored."""
    prop = type.properties.get(order.by) if isinstance(order.by, str) else None
    if prop is None or Mark.INTERNAL in prop.marks or prop.is_text == (order.collation is not None):
        return order
    return Order(order.by, order.ascending, DEFAULT_COLLATION if prop.is_text else None)
