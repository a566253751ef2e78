"""Filters and sorts of Foo/query (RFC 8620 §5.5) turned into the conditions and orders of a store."""

from typing import Any

import msgspec

from veredus.conditions import All, Any_, Condition, Not, Order, all_of
from veredus.formats.collation import ALGORITHMS
from veredus.schema import DataType, QueryPlan, Unsupported
from veredus.wire.arguments import FilteredArguments
from veredus.wire.errors import MethodError
from veredus.wire.types import JsonObject

# Deeper or larger filters are refused: no search form makes them, and they cost without bound.
MAX_DEPTH = 50
MAX_CONDITIONS = 1000


def plan(type: DataType, args: FilteredArguments) -> QueryPlan:
    """What a query asks of the store."""
    where = compile_filter(type, args.filter)
    try:
        order = tuple(_sort(type, comparator) for comparator in args.sort or ()) or type.default_sort
    except Unsupported as error:
        raise MethodError.unsupported_sort(str(error)) from None
    made = QueryPlan(where, order)
    return type.refine(made, args) if type.refine else made


def compile_filter(type: DataType, filter: Any) -> Condition:
    """A filter argument as a condition; raises MethodError."""
    try:
        return _filter(type, filter, MAX_DEPTH, [MAX_CONDITIONS])
    except Unsupported as error:
        raise MethodError.unsupported_filter(str(error)) from None


def _filter(type: DataType, filter: Any, depth: int, budget: list[int]) -> Condition:
    if filter is None:
        return All()
    if not isinstance(filter, dict):
        raise MethodError.invalid_arguments("A filter is a FilterOperator, a FilterCondition or null.")
    budget[0] -= 1
    if depth == 0 or budget[0] < 0:
        raise Unsupported(f"A filter has at most {MAX_CONDITIONS} conditions, nested at most {MAX_DEPTH} deep.")
    if "operator" in filter:
        return _operator(type, filter, depth, budget)
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
        return build(value)
    except Unsupported:
        raise
    except (ValueError, msgspec.ValidationError) as error:
        raise MethodError.invalid_arguments(f"filter {name!r}: {error}") from None


def _sort(type: DataType, comparator: JsonObject) -> Order:
    name = comparator.get("property")
    if not isinstance(name, str) or not isinstance(comparator.get("isAscending", True), bool):
        raise MethodError.invalid_arguments("A Comparator has a property, a string, and isAscending, a boolean.")
    collation = comparator.get("collation")
    if collation is not None and not isinstance(collation, str):
        raise MethodError.invalid_arguments("The collation of a Comparator is a string.")
    if collation is not None and collation not in ALGORITHMS:
        raise Unsupported(f"No collation {collation[:100]!r}.")
    build = type.sorts.get(name)
    if build is None:
        raise Unsupported(f"{type.name} is not sorted by {name[:100]!r}.")
    try:
        return build(comparator)
    except Unsupported:
        raise
    except ValueError as error:
        raise MethodError.invalid_arguments(f"sort by {name!r}: {error}") from None
