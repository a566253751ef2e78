"""Foo/copy (RFC 8620 §5.4)."""

from veredus.engine.records import Operation
from veredus.engine.set import write
from veredus.schema import Access, DataType, Draft, Mark
from veredus.wire.arguments import CopyArguments
from veredus.wire.errors import MethodError, SetError
from veredus.wire.types import Id, JsonObject, is_id


async def copy(ctx: Access, type: DataType, args: CopyArguments) -> JsonObject:
    """Copy records from another account, and destroy the originals if asked to."""
    if args.from_account_id == args.account_id:
        raise MethodError.invalid_arguments("fromAccountId and accountId must differ.")
    if ctx.account_info(args.from_account_id) is None:
        raise MethodError.from_account_not_found()
    if len(args.create) > ctx.limit("maxObjectsInSet"):
        raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInSet')} records in one call.")
    drafts: dict[str, Draft] = {}
    failed: dict[Operation, SetError] = {}
    sources: dict[str, Id] = {}
    originals = await _originals(ctx, type, args)
    for name, given in args.create.items():
        drafts[name] = Draft(given)
        id = given.get("id")
        original = originals.get(str(id))
        try:
            if not is_id(id):
                raise SetError.invalid_properties(["id"], "The id of the record to be copied.")
            if original is None:
                raise SetError.not_found("No such record in fromAccountId.")
            drafts[name] = _draft(type, original, given)
            sources[name] = original["id"]
            await type.hooks.prepare_copy(ctx, original, drafts[name])
        except SetError as error:
            failed[Operation("create", name)] = error
    set_args = type.set_arguments(account_id=args.account_id, if_in_state=args.if_in_state)
    run, old_state, new_state = await write(ctx, type, set_args, drafts, failed)
    if args.on_success_destroy_original and run.created:
        await ctx.call(f"{type.name}/set", _destroy(args, [sources[name] for name in run.created]))
    not_created = {operation.key: error.to_json() for operation, error in run.failed.items()}
    return {
        "fromAccountId": args.from_account_id,
        "accountId": args.account_id,
        "oldState": str(old_state),
        "newState": str(new_state),
        "created": {name: made.report for name, made in run.created.items()} or None,
        "notCreated": not_created or None,
    }


async def _originals(ctx: Access, type: DataType, args: CopyArguments) -> dict[Id, JsonObject]:
    ids = [str(given.get("id")) for given in args.create.values()]
    async with ctx.read(args.from_account_id) as snapshot:
        state = await snapshot.state(type.name)
        if args.if_from_in_state is not None and args.if_from_in_state != str(state):
            raise MethodError.state_mismatch()
        return {record["id"]: record for record in await snapshot.get(type.name, ids)}


def _draft(type: DataType, original: JsonObject, given: JsonObject) -> Draft:
    """What the original has and a client may set, and over it what the client gave."""
    kept = {
        name: original[name]
        for name, prop in type.visible.items()
        if name in original and Mark.SERVER_SET not in prop.marks
    }
    return Draft({**kept, **{name: value for name, value in given.items() if name != "id"}})


def _destroy(args: CopyArguments, ids: list[Id]) -> JsonObject:
    arguments: JsonObject = {"accountId": args.from_account_id, "destroy": ids}
    if args.destroy_from_if_in_state is not None:
        arguments["ifInState"] = args.destroy_from_if_in_state
    return arguments
