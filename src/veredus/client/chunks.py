"""/get and /set of more records than a server takes at once (RFC 8620 §2, maxObjectsInGet and -Set)."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from veredus.client.batch import Batch
from veredus.client.calls import arguments
from veredus.client.errors import LimitError, MethodError
from veredus.client.exchange import Exchange
from veredus.client.query import Query
from veredus.client.record import Record
from veredus.client.results import Got, SetResult
from veredus.wire.types import Id, JsonObject

R = TypeVar("R", bound=Record)
T = TypeVar("T")
_VERBS = ("create", "update", "destroy")


async def get_in_chunks(
    exchange: Exchange,
    kind: type[R],
    ids: Sequence[Id] | None,
    properties: Sequence[str] | None,
    account: Id | None,
    extra: Mapping[str, Any],
) -> Got[R]:
    """All of ``ids``, in as many requests as it takes, several at a time.

    ``ids`` None, and more records than a server gives at once: their ids come from Foo/query.
    """

    async def get(some: Sequence[Id] | None) -> Got[R]:
        async with Batch(exchange, account) as batch:
            call = batch.get(kind, some, properties, **extra)
        return call.result

    size = max(1, exchange.session.limits.max_objects_in_get)
    if ids is None:
        try:
            return await get(None)
        except MethodError as error:
            if error.type != "requestTooLarge":
                raise
        ids = [id async for id in Query(exchange, kind, {}, None, account=account).ids()]
    ids = ids if isinstance(ids, str) else list(ids)
    if len(ids) <= size:
        return await get(ids)
    first = await get(ids[:size])
    rest = await _together([get(ids[at : at + size]) for at in range(size, len(ids), size)])
    for part in rest:
        first.list.extend(part.list)
        first.not_found.extend(part.not_found)
    return first


async def _together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All results; the first that fails ends the others, and is raised."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def set_in_chunks(
    exchange: Exchange,
    type: str,
    changes: JsonObject,
    account: Id,
    if_in_state: str | None,
    *,
    chunk: bool,
    extra: Mapping[str, Any],
) -> SetResult:
    """Foo/set of ``create``, ``update`` and ``destroy``; one request after the other where it takes several.

    A creation id may be used in later requests; ``if_in_state`` holds for the first, and then for the state
    that each has left.
    """
    arguments(changes)  # what is wrong with them must not be cut in pieces
    size = max(1, exchange.session.limits.max_objects_in_set)
    total = sum(len(changes[verb]) for verb in _VERBS)
    if total > size and not chunk:
        raise LimitError(exchange.session.host, "maxObjectsInSet", size, total)
    whole = SetResult()
    for part in _parts(changes, size):
        batch = Batch(exchange, account)
        values = arguments({"ifInState": if_in_state and (whole.new_state or if_in_state), **extra})
        call = batch.set(type, **part, **values)
        created = {name: record["id"] for name, record in whole.created.items()}
        await exchange.send([call], created_ids=created or None)
        _add(whole, call.result)
    return whole


def _parts(changes: JsonObject, size: int) -> list[JsonObject]:
    """Pieces of at most ``size`` records; what is created comes first, what is destroyed last."""
    parts: list[JsonObject] = []
    room = 0
    for verb in _VERBS:
        items = list(changes[verb].items()) if verb != "destroy" else list(changes[verb])
        while items:
            if not room:
                parts.append({})
                room = size
            taken, items = items[:room], items[room:]
            room -= len(taken)
            parts[-1][verb] = taken if verb == "destroy" else dict(taken)
    return parts or [{}]


def _add(whole: SetResult, part: SetResult) -> None:
    whole.old_state = whole.old_state or part.old_state
    whole.new_state = part.new_state
    for name in ("created", "updated", "not_created", "not_updated", "not_destroyed"):
        getattr(whole, name).update(getattr(part, name))
    whole.destroyed.extend(part.destroyed)
