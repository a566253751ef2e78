"""Foo/get (RFC 8620 §5.1)."""

from collections.abc import Sequence, Set
from typing import Any

from msgspec import Struct

from veredus.conditions import EVERYTHING
from veredus.ports import Snapshot
from veredus.schema import SINGLETON, Access, Computed, DataType
from veredus.wire.arguments import GetArguments
from veredus.wire.errors import MethodError
from veredus.wire.types import Id, JsonObject


async def get(ctx: Access, type: DataType, args: GetArguments) -> JsonObject:
    """The properties asked for of the records asked for."""
    names = _names(type, args.properties)
    ids = None if args.ids is None else list(dict.fromkeys(_created(ctx, id) for id in args.ids))
    most = ctx.limit("maxObjectsInGet")
    if ids is not None and len(ids) > most:
        raise MethodError.request_too_large(f"At most {most} ids in one call.")
    async with ctx.read() as snapshot:
        asked = ids
        if type.is_singleton:
            ids = [SINGLETON] if ids is None or SINGLETON in ids else []
        if type.shown is not None:
            ids = await shown(ctx, snapshot, type, ids)
        if ids is None:
            # Not all records at once: stores remember ids, and records by their ids.
            ids = await snapshot.select(type.name, limit=most + 1)
            if len(ids) > most:
                raise MethodError.request_too_large(f"There are more than {most} records; ask by ids.")
        state = await snapshot.state(type.name)
        found = await _records(ctx, snapshot, type, ids, names, args)
    response: JsonObject = {"accountId": args.account_id, "state": str(state), "list": found, "notFound": []}
    if asked is not None and len(found) != len(asked):
        there = {record["id"] if isinstance(record, dict) else record.id for record in found}
        response["notFound"] = [id for id in asked if id not in there]
    return response


async def shown(ctx: Access, snapshot: Snapshot, type: DataType, ids: list[Id] | None) -> list[Id] | None:
    """Those of ``ids`` (None: of all) that exist for this call; None: all there are."""
    assert type.shown is not None
    where = type.shown(ctx)
    if where == EVERYTHING:
        return ids
    there = await snapshot.select(type.name, where)
    known = set(there)
    return there if ids is None else [id for id in ids if id in known]


def _created(ctx: Access, id: str) -> Id:
    """An id, which may be given as "#" and its creation id (§3.3)."""
    return ctx.created_ids.get(id[1:], id) if id.startswith("#") else id


def _names(type: DataType, asked: list[str] | None) -> list[str]:
    """The properties to give, without id and repetitions."""
    if asked is None:
        names: Sequence[str] = (
            tuple(type.visible) if type.default_properties is None else type.default_properties
        )
        extra = [] if type.default_properties is not None else _computed_names(type)
        return [name for name in (*names, *extra) if name != "id"]
    for name in asked:
        if name not in type.visible and not any(computed.covers(name) for computed in type.computed):
            raise MethodError.invalid_arguments(f"{type.name} has no property {name[:100]!r}.")
    return [name for name in dict.fromkeys(asked) if name != "id"]


def _computed_names(type: DataType) -> list[str]:
    return [name for computed in type.computed for name in computed.names if not name.endswith(":")]


async def _records(
    ctx: Access,
    snapshot: Snapshot,
    type: DataType,
    ids: list[Id],
    names: list[str],
    args: GetArguments,
) -> Sequence[Any]:
    if not type.is_singleton and all(name in type.visible for name in names):
        projected: list[Struct] = await snapshot.project(type.name, ids, names)
        return projected
    stored = {name for name in names if name in type.visible}
    used = [
        (computed, mine)
        for computed in type.computed
        if (mine := [name for name in names if name not in stored and computed.covers(name)])
    ]
    needs = stored.union(*(computed.needs for computed, _ in used))
    records = await stored_records(snapshot, type, ids, needs)
    return await complete(ctx, snapshot, records, [name for name in names if name in stored], used, args)


async def stored_records(
    snapshot: Snapshot, type: DataType, ids: Sequence[Id], names: Set[str] | None = None
) -> list[JsonObject]:
    """``Snapshot.get``, and a singleton that was never written."""
    found = await snapshot.get(type.name, ids, names)
    return [dict(type.initial)] if type.is_singleton and not found and SINGLETON in ids else found


async def complete(
    ctx: Access,
    snapshot: Snapshot,
    records: list[JsonObject],
    stored: Sequence[str],
    used: Sequence[tuple[Computed, list[str]]],
    args: GetArguments,
) -> list[JsonObject]:
    """``records`` reduced to id and the ``stored`` properties, with the computed ones added."""
    complete = [{"id": record["id"], **{name: record.get(name) for name in stored}} for record in records]
    for computed, names in used:
        try:
            values = await computed.run(ctx, snapshot, records, names, args)
        except ValueError as error:
            raise MethodError.invalid_arguments(str(error)) from None
        for record, more in zip(complete, values, strict=True):
            record.update(more)
    return complete
