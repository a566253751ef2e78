"""Foo/query (RFC 8620 §5.5)."""

from veredus.conditions import Order
from veredus.engine.filters import plan
from veredus.ports import Snapshot
from veredus.schema import Access, DataType, QueryPlan
from veredus.wire.arguments import QueryArguments
from veredus.wire.errors import MethodError
from veredus.wire.types import Id, JsonObject

# The most ids in one response; a client that asks for more is told so (§5.5 limit).
MOST = 100_000


async def query(ctx: Access, type: DataType, args: QueryArguments) -> JsonObject:
    """A window into the sorted ids of the records that match a filter."""
    made = plan(ctx, type, args)
    limit = MOST if args.limit is None else min(args.limit, MOST)
    async with ctx.read() as snapshot:
        state = await snapshot.state(type.name)
        window = _Window(snapshot, type, made, args)
        position = await window.position()
        ids = await window.ids(position, limit)
        total = await window.total(position, ids, limit) if args.calculate_total else None
    response: JsonObject = {
        "accountId": args.account_id,
        "queryState": str(state),
        "canCalculateChanges": can_calculate_changes(type),
        "position": position,
        "ids": ids,
    }
    if total is not None:
        response["total"] = total
    if limit != args.limit:
        response["limit"] = limit
    return response


def can_calculate_changes(type: DataType) -> bool:
    """Whether /queryChanges works for the type's queries: all of them, or none."""
    return "queryChanges" in type.methods


async def all_ids(snapshot: Snapshot, type: DataType, made: QueryPlan, args: object) -> list[Id]:
    """The whole result."""
    ids = await snapshot.select(type.name, made.where, made.order, distinct=made.distinct)
    return await type.rearrange(snapshot, ids, made, args) if type.rearrange and made.rearranged else ids


class _Window:
    """The results of one query, selected as far as they are needed."""

    def __init__(self, snapshot: Snapshot, type: DataType, made: QueryPlan, args: QueryArguments) -> None:
        self.snapshot, self.type, self.plan, self.args = snapshot, type, made, args
        self._all: list[Id] | None = None

    async def everything(self) -> list[Id]:
        if self._all is None:
            self._all = await all_ids(self.snapshot, self.type, self.plan, self.args)
        return self._all

    async def position(self) -> int:
        if self.args.anchor is not None:
            try:
                index = (await self.everything()).index(self.args.anchor)
            except ValueError:
                raise MethodError.anchor_not_found() from None
            return max(0, index + self.args.anchor_offset)
        if self.args.position < 0:
            return max(0, await self.count() + self.args.position)
        return self.args.position

    async def ids(self, position: int, limit: int) -> list[Id]:
        if limit == 0:
            return []
        if self._all is not None or self.plan.rearranged:
            return (await self.everything())[position : position + limit]
        order: tuple[Order, ...] = self.plan.order
        return await self.snapshot.select(
            self.type.name, self.plan.where, order, limit=limit, offset=position, distinct=self.plan.distinct
        )

    async def total(self, position: int, ids: list[Id], limit: int) -> int:
        """The number of results; free when the window shows their end."""
        if len(ids) < limit and (ids or position == 0):
            return position + len(ids)
        return await self.count()

    async def count(self) -> int:
        if self._all is not None or self.plan.rearranged:
            return len(await self.everything())
        if self.type.known_total:
            known = await self.type.known_total(self.snapshot, self.plan)
            if known is not None:
                return known
        return await self.snapshot.count(self.type.name, self.plan.where, distinct=self.plan.distinct)
