"""Blob/lookup (RFC 9404 §4.3): which records refer to blobs."""

from collections.abc import Iterable

from veredus.blobs.upload import resolved
from veredus.conditions import Eq, Has
from veredus.ports import Snapshot
from veredus.schema import Access, BlobId, DataType, Id, JsonObject, Mark, MethodError
from veredus.wire import blob_ids
from veredus.wire.arguments import AccountArguments

# What refers to a blob because an Email in it does (§4.3): the property of Email that names it.
_THROUGH_EMAIL = {"Mailbox": "mailboxIds", "Thread": "threadId"}


class LookupArguments(AccountArguments, kw_only=True):
    """Blob/lookup (§4.3)."""

    type_names: list[str]
    ids: list[str]


def supported(types: Iterable[DataType]) -> list[str]:
    """The names of the data types whose records may refer to blobs."""
    return [type.name for type in types if type.name in _THROUGH_EMAIL or _references(type)]


def _references(type: DataType) -> list[str]:
    return [name for name, prop in type.properties.items() if Mark.BLOB in prop.marks]


async def lookup(ctx: Access, args: LookupArguments) -> JsonObject:
    """For each blob the records of each type. A blob that the user does not see is referred to by none:
    that is all that is told of it."""
    if len(args.ids) > ctx.limit("maxObjectsInGet"):
        raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInGet')} blobs in one call.")
    types = {}
    for name in args.type_names:
        type = ctx.data_type(name)
        if type is None or not supported([type]):
            raise MethodError("unknownDataType", f"No data type {name[:100]!r} with blobs in use.")
        types[name] = type
    found = []
    async with ctx.read() as snapshot:
        for id in dict.fromkeys(resolved(ctx, id) for id in args.ids):
            whole = blob_ids.parse(id).whole
            matched = {name: await _matches(snapshot, type, whole) for name, type in types.items()}
            found.append({"id": id, "matchedIds": matched})
    return {"accountId": args.account_id, "list": found, "notFound": []}


async def _matches(snapshot: Snapshot, type: DataType, whole: BlobId) -> list[Id]:
    through = _THROUGH_EMAIL.get(type.name)
    if through is None:
        ids: dict[Id, None] = {}
        for name in _references(type):
            is_list = list in type.properties[name].kinds
            names_it = Has(name, whole) if is_list else Eq(name, whole)
            ids.update(dict.fromkeys(await snapshot.select(type.name, names_it)))
        return list(ids)
    emails = await snapshot.get("Email", await snapshot.select("Email", Eq("blobId", whole)), {through})
    values = [email[through] for email in emails]
    return sorted({id for value in values for id in (value if isinstance(value, dict) else (value,))})
