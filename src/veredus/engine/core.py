"""The methods of the core capability: Core/echo (RFC 8620 §4) and Blob/copy (§6.3)."""

from typing import Any

from veredus.schema import Access, Method
from veredus.wire.arguments import AccountArguments
from veredus.wire.errors import MethodError, SetError
from veredus.wire.types import JsonObject


async def echo(ctx: Access, arguments: JsonObject) -> JsonObject:
    """The arguments, back."""
    return arguments


class BlobCopyArguments(AccountArguments, kw_only=True):
    """Blob/copy (§6.3)."""

    from_account_id: str
    blob_ids: list[str]


async def copy_blobs(ctx: Access, args: BlobCopyArguments) -> JsonObject:
    """Let blobs that the user sees in one account be referred to in another."""
    if ctx.account_info(args.from_account_id) is None:
        raise MethodError.from_account_not_found()
    if len(args.blob_ids) > ctx.limit("maxObjectsInSet"):
        raise MethodError.request_too_large("Too many blobs in one call.")
    copied: dict[str, str] = {}
    not_copied: dict[str, Any] = {}
    for id in dict.fromkeys(args.blob_ids):
        blob = await ctx.copy_blob(id, args.from_account_id)
        if blob is None:
            not_copied[id] = SetError.not_found().to_json()
        else:
            copied[id] = blob.id
    return {
        "fromAccountId": args.from_account_id,
        "accountId": args.account_id,
        "copied": copied or None,
        "notCopied": not_copied or None,
    }


BLOB_COPY = Method("Blob/copy", BlobCopyArguments, copy_blobs, writes=True)
