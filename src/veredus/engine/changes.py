"""Foo/changes (RFC 8620 §5.2)."""

from veredus.engine.get import shown
from veredus.engine.states import parse_state
from veredus.schema import Access, DataType
from veredus.wire.arguments import ChangesArguments
from veredus.wire.errors import MethodError
from veredus.wire.types import JsonObject

# So many ids at most in one response, however many the client allows: memory stays bounded.
MOST = 5000


async def changes(ctx: Access, type: DataType, args: ChangesArguments) -> JsonObject:
    """Ids of what was created, updated and destroyed since a state."""
    since = parse_state(args.since_state)
    if args.max_changes == 0:
        raise MethodError.invalid_arguments("maxChanges must be greater than 0.")
    limit = MOST if args.max_changes is None else min(args.max_changes, MOST)
    async with ctx.read() as snapshot:
        found = await snapshot.changes(type.name, since, limit)
        there = await shown(ctx, snapshot, type, None) if type.shown else None
        known = None if there is None else set(there)
    if found is None:
        raise MethodError.cannot_calculate_changes()
    response: JsonObject = {
        "accountId": args.account_id,
        "oldState": args.since_state,
        "newState": str(found.new_state),
        "hasMoreChanges": found.has_more,
        "created": [id for id in found.created if known is None or id in known],
        "updated": [id for id in found.updated if known is None or id in known],
        "destroyed": found.destroyed,
    }
    if type.volatile:
        only_volatile = found.names is not None and bool(found.names) and found.names <= type.volatile
        clean = only_volatile and not found.created and bool(found.updated)
        response["updatedProperties"] = sorted(found.names or ()) if clean else None
    return response
