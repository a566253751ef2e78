"""Foo/queryChanges (RFC 8620 §5.6).

Every record that changed since the old state in what the query reads may have left the results,
entered them or moved. All that existed then are reported as removed, and those in the results now
as added with their index: what §5.6 asks for when filter or sort include a mutable property, and
permits otherwise.
"""

from veredus.conditions import All, Any_, In, Not, Text, parts
from veredus.engine.filters import plan
from veredus.engine.query import all_ids
from veredus.engine.states import parse_state
from veredus.ports import Changes, Snapshot
from veredus.schema import Access, DataType, QueryPlan
from veredus.wire.arguments import QueryChangesArguments
from veredus.wire.errors import MethodError
from veredus.wire.types import Id, JsonObject

# Beyond so many changed records the client does better to query again.
MOST = 20_000


async def query_changes(ctx: Access, type: DataType, args: QueryChangesArguments) -> JsonObject:
    """How to splice a cached list of ids into the list of now."""
    made = plan(ctx, type, args)
    since = parse_state(args.since_query_state)
    async with ctx.read() as snapshot:
        state = await snapshot.state(type.name)
        touched, moved = await _touched(snapshot, type, made, since)
        ids = await all_ids(snapshot, type, made, args) if touched or args.calculate_total else []
    added = [{"id": id, "index": index} for index, id in enumerate(ids) if id in touched]
    removed = list(moved)
    if args.max_changes is not None and len(added) + len(removed) > args.max_changes:
        raise MethodError.too_many_changes()
    response: JsonObject = {
        "accountId": args.account_id,
        "oldQueryState": args.since_query_state,
        "newQueryState": str(state),
        "removed": removed,
        "added": added,
    }
    if args.calculate_total:
        response["total"] = len(ids)
    return response


async def _touched(
    snapshot: Snapshot, type: DataType, made: QueryPlan, since: int
) -> tuple[dict[Id, None], list[Id]]:
    """Existing records that may have moved in the results or come into them, and all that may have
    left their place there: those that existed at the old state, with the destroyed ones."""
    found = await snapshot.changes(type.name, since, MOST)
    if found is None or found.has_more:
        raise MethodError.cannot_calculate_changes()
    touched = dict.fromkeys(found.created)
    if _may_move(type, made, found):
        touched.update(dict.fromkeys(found.updated))
    if made.rearranged and (touched or found.destroyed):
        # In a tree every record moves with its ancestors.
        touched.update(dict.fromkeys(await snapshot.select(type.name)))
    for name in made.related:
        touched.update(
            dict.fromkeys(
                await _related(snapshot, type, name, list(touched), since if found.destroyed else None)
            )
        )
    created = set(found.created)
    return touched, [*found.destroyed, *(id for id in touched if id not in created)]


def _may_move(type: DataType, made: QueryPlan, found: Changes) -> bool:
    """Whether an update may have changed what a record is filtered or sorted by."""
    if found.names is None:
        return True
    if made.rearranged:
        # By what, only the data type knows; but not by what changes by itself.
        return not found.names <= type.volatile
    read: set[str] = set()
    conditions = [made.where]
    for order in made.order:
        if isinstance(order.by, str):
            read.add(order.by)
        else:
            conditions.append(order.by)
    for part in (part for condition in conditions for part in parts(condition)):
        if isinstance(part, Text):
            return True
        if not isinstance(part, All | Any_ | Not):
            read.add(part.property)
    return not read.isdisjoint(found.names)


async def _related(
    snapshot: Snapshot, type: DataType, name: str, ids: list[Id], since: int | None
) -> list[Id]:
    """Records that share the property's value with a changed one, or did until it was destroyed.

    What a destroyed record's value was the log does not know; the type that the property refers
    to does: it changed in the same transaction. ``since``: None when nothing was destroyed.
    """
    records = await snapshot.get(type.name, ids, {name})
    values = {record[name] for record in records if record.get(name) is not None}
    target = type.related_types.get(name)
    if target is not None and since is not None:
        groups = await snapshot.changes(target, since, MOST)
        if groups is None or groups.has_more:
            raise MethodError.cannot_calculate_changes()
        values.update(groups.created, groups.updated)
    if not values:
        return []
    return await snapshot.select(type.name, In(name, tuple(sorted(values))))
