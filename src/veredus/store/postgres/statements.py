"""Selections as single statements."""

from collections.abc import Sequence

from veredus.conditions import All, Order
from veredus.store.postgres import sql
from veredus.store.postgres.drivers import Choice
from veredus.store.postgres.schema import ARRIVAL_BITS
from veredus.store.postgres.selection import (
    Conjunction,
    Selection,
    Statement,
    conjunction,
    has_column,
    has_text,
    order_is_sql,
)
from veredus.store.values import is_own_order


def is_one_statement(selection: Selection, found: Conjunction) -> bool:
    """Whether SQL says all that is asked for."""
    if found.rest or not all(order_is_sql(selection, order) for order in selection.orders):
        return False
    return selection.distinct is None or has_column(selection.layout, selection.distinct)


def window(selection: Selection) -> Statement | None:
    """The statement that gives rows (rid, id), in order; None when it takes more than SQL.

    Its first value is the account's number.
    """
    found = conjunction(selection)
    if not is_one_statement(selection, found):
        return None
    compiler = sql.Compiler(selection.account)
    choice = Choice(selection, found, compiler, selection.ends_early)
    orders = () if selection.natural else selection.orders
    one_by_one = _is_first_of_its_value(selection)
    ranked = selection.distinct is not None and not one_by_one

    def columns(row: sql.Row) -> list[str]:
        terms = [f"{_term(compiler, order, row)} AS o{number}" for number, order in enumerate(orders)]
        value = [f"{row.column(selection.distinct)} AS v"] if ranked and selection.distinct else []
        return [f"{row.rid} AS rid", f"{row.column('id')} AS id", *terms, *value]

    def tests(row: sql.Row) -> list[str]:
        return [_first_of_its_value(selection, found, compiler, row)] if one_by_one else []

    source = choice.source(columns, tests, None if ranked else selection.end)
    by = ", ".join([*_directions(orders), f"rid{choice.direction}"])
    rows = source.rows
    if ranked:
        rows = f"(SELECT *, row_number() OVER (PARTITION BY v ORDER BY {by}) AS n FROM {rows}) d WHERE n = 1"
    text = f"{source.with_}SELECT rid, id FROM {rows} ORDER BY {by}{_limits(selection, compiler)}"
    return Statement(text, compiler.values)


def _limits(selection: Selection, compiler: sql.Compiler) -> str:
    limit = f" LIMIT {compiler.bind(selection.limit)}" if selection.limit is not None else ""
    return limit + (f" OFFSET {compiler.bind(selection.offset)}" if selection.offset else "")


def _term(compiler: sql.Compiler, order: Order, row: sql.Row) -> str:
    if is_own_order(row.layout.table, order):
        return f"({row.rid} >> {ARRIVAL_BITS})"
    if isinstance(order.by, str):
        return row.column(order.by)
    return f"(({compiler.expression(order.by, row)}) IS TRUE)"


def _directions(orders: Sequence[Order]) -> list[str]:
    return [
        f"o{number}" + (" NULLS FIRST" if order.ascending else " DESC NULLS LAST")
        for number, order in enumerate(orders)
    ]


def _is_first_of_its_value(selection: Selection) -> bool:
    """Whether each row looks for an earlier one with its value: rows come in order, so this may end early.

    Where all that have words must be found first anyway, they are better compared with one another.
    """
    return (
        selection.distinct in selection.layout.indexed
        and selection.ends_early
        and not has_text(selection.where)
    )


def _first_of_its_value(
    selection: Selection, found: Conjunction, compiler: sql.Compiler, row: sql.Row
) -> str:
    assert selection.distinct is not None
    other = sql.Row(selection.layout, compiler.alias())
    earlier = f"{other.rid} {'>' if selection.newest_first else '<'} {row.rid}"
    where = compiler.expression(All(tuple(found.sql)), other)
    mine = row.column(selection.distinct)
    return f"NOT {sql.siblings(compiler, other, selection.distinct, mine, f'{earlier} AND {where}')}"


def counting(selection: Selection) -> Statement | None:
    """The statement that gives one row, one number; None when it takes more than SQL."""
    selection = Selection(selection.layout, selection.account, selection.where, (), selection.distinct)
    found = conjunction(selection)
    if not is_one_statement(selection, found):
        return None
    compiler = sql.Compiler(selection.account)
    source = Choice(selection, found, compiler, in_order=False).source(
        lambda row: ["1" if selection.distinct is None else f"{row.column(selection.distinct)} AS v"]
    )
    what = "count(*)"
    if selection.distinct is not None:
        what = "count(DISTINCT v) + coalesce(max((v IS NULL)::int), 0)"
    return Statement(f"{source.with_}SELECT {what} FROM {source.rows}", compiler.values)
