"""Foo/set (RFC 8620 §5.3).

All of a call is one transaction. Each record is checked before it is written, so a record that is
refused leaves no trace. Records may depend on one another in any order (a creation that refers to a
later one, a mailbox destroyed with its child): what fails is tried again as long as others succeed.
Uniqueness is judged on the final state, so that two records may swap their names.
"""

from collections.abc import Mapping
from itertools import count

from veredus.engine.records import Operation, Run
from veredus.engine.unique import Conflict, check_unique
from veredus.schema import Access, DataType, Draft
from veredus.wire.arguments import SetArguments
from veredus.wire.errors import MethodError, SetError
from veredus.wire.types import JsonObject

# After so many conflicts whatever touches the properties in question is refused.
_TRIES = 5


async def set_records(ctx: Access, type: DataType, args: SetArguments) -> JsonObject:
    """Create, update and destroy records, each as a whole or not at all."""
    asked = len(args.create or ()) + len(args.update or ()) + len(args.destroy or ())
    if max(asked, args.implied()) > ctx.limit("maxObjectsInSet"):
        raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInSet')} records in one call.")
    failed: dict[Operation, SetError] = {}
    drafts = {name: Draft(given) for name, given in (args.create or {}).items()}
    for name, draft in drafts.items():
        try:
            if type.is_singleton:
                raise SetError.singleton()
            await type.hooks.prepare(ctx, draft)
        except SetError as error:
            failed[Operation("create", name)] = error
    for key, changes in (args.update or {}).items():
        try:
            await type.hooks.prepare_update(ctx, key, changes)
        except SetError as error:
            failed[Operation("update", key)] = error
    run, old_state, new_state = await write(ctx, type, args, drafts, failed)
    if type.then is not None:
        await type.then(ctx, args, run.succeeded)
    return _response(args, run, old_state, new_state)


async def write(
    ctx: Access,
    type: DataType,
    args: SetArguments,
    drafts: Mapping[str, Draft],
    failed: dict[Operation, SetError],
) -> tuple[Run, int, int]:
    """Do it all in one transaction; again without the losers when records are not unique together."""
    for attempt in count():
        run = Run(ctx, type, args, drafts, dict(failed))
        try:
            async with ctx.write() as tx:
                old_state = await tx.state(type.name)
                if args.if_in_state is not None and args.if_in_state != str(old_state):
                    raise MethodError.state_mismatch()
                await run.attempt_all(tx)
                if run.changed:
                    await check_unique(tx, type, run, strict=attempt >= _TRIES)
                    await run.rename(tx, await type.hooks.after(ctx, tx, run.changed, args) or {})
                if not run.failed:
                    run.tell(await type.hooks.succeeded(ctx, tx, run.created_ids, args))
                new_state = await tx.state(type.name)
                await run.complete_created(tx)
        except Conflict as conflict:
            failed.update(conflict.losers)
            continue
        ctx.created_ids.update({name: created.id for name, created in run.created.items()})
        return run, old_state, new_state
    raise AssertionError("each attempt has fewer operations")


def _response(args: SetArguments, run: Run, old_state: int, new_state: int) -> JsonObject:
    """The lists of §5.3, null where nothing was asked for."""
    by_kind: dict[str, dict[str, JsonObject]] = {"create": {}, "update": {}, "destroy": {}}
    for operation, error in run.failed.items():
        by_kind[operation.kind][operation.key] = error.to_json()
    created: dict[str, JsonObject] = {name: made.report for name, made in run.created.items()}
    return {
        "accountId": args.account_id,
        "oldState": str(old_state),
        "newState": str(new_state),
        "created": created or None,
        "updated": run.updated or None,
        "destroyed": run.destroyed or None,
        "notCreated": by_kind["create"] or None,
        "notUpdated": by_kind["update"] or None,
        "notDestroyed": by_kind["destroy"] or None,
    }
