"""Blob/get (RFC 9404 §4.2): bytes, sizes and digests of blobs."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from veredus.blobs.upload import resolved
from veredus.schema import Access, BlobReader, JsonObject, MethodError, UnsignedInt
from veredus.wire.arguments import AccountArguments

# §3.1: names of the HTTP digest registry in lower case, the best first.
DIGESTS: dict[str, Callable[[], Any]] = {
    "sha-256": hashlib.sha256,
    "sha-512": hashlib.sha512,
    "sha": lambda: hashlib.sha1(usedforsecurity=False),
}
_DATA = ("data", "data:asText", "data:asBase64")


class GetBlobArguments(AccountArguments, kw_only=True):
    """Blob/get (§4.2)."""

    ids: list[str]
    properties: list[str] | None = None
    offset: UnsignedInt | None = None
    length: UnsignedInt | None = None


async def get(ctx: Access, args: GetBlobArguments) -> JsonObject:
    """The properties asked for, of a range of each blob."""
    names = ["data", "size"] if args.properties is None else list(dict.fromkeys(args.properties))
    for name in names:
        if not (name in ("id", "size", *_DATA) or (name.startswith("digest:") and name[7:] in DIGESTS)):
            raise MethodError.invalid_arguments(f"A blob has no property {name[:100]!r}.")
    if len(args.ids) > ctx.limit("maxObjectsInGet"):
        raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInGet')} blobs in one call.")
    found, missing = [], []
    for id in dict.fromkeys(resolved(ctx, id) for id in args.ids):
        blob = await ctx.open_blob(id)
        if blob is None:
            missing.append(id)
        else:
            found.append({"id": id, **await _shown(ctx, blob, names, args)})
    return {"accountId": args.account_id, "list": found, "notFound": missing}


async def _shown(ctx: Access, blob: BlobReader, names: Sequence[str], args: GetBlobArguments) -> JsonObject:
    """Data and digests are of the range, as far as it exists; the size is that of the whole blob."""
    start = args.offset or 0
    end = blob.size if args.length is None else start + args.length
    shown: JsonObject = {}
    if start > blob.size or end > blob.size:
        shown["isTruncated"] = True
    end = min(end, blob.size)
    data, digests = await _read(ctx, blob, (min(start, end), end), names)
    for name in names:
        if name == "size":
            shown["size"] = blob.size
        elif name in digests:
            shown[name] = base64.b64encode(digests[name].digest()).decode()
        elif name in _DATA:
            shown.update(_content(data, name))
    return shown


async def _read(
    ctx: Access, blob: BlobReader, octets: tuple[int, int], names: Sequence[str]
) -> tuple[bytes, dict[str, Any]]:
    """The bytes of the range, if they are asked for, and the digests. For digests alone nothing is held."""
    start, end = octets
    digests = {name: DIGESTS[name[7:]]() for name in names if name.startswith("digest:")}
    shows = sum(1 for name in names if name in _DATA)
    if not (digests or shows) or start >= end:
        return b"", digests
    ctx.work((end - start) * (len(digests) or 1))
    ctx.hold((end - start) * shows)
    chunks = []
    async for chunk in blob.open(start, end):
        for digest in digests.values():
            digest.update(chunk)
        if shows:
            chunks.append(chunk)
    return b"".join(chunks), digests


def _content(data: bytes, name: str) -> JsonObject:
    if name == "data:asBase64":
        return {name: base64.b64encode(data).decode()}
    try:
        return {"data:asText": data.decode("utf-8")}
    except UnicodeDecodeError:
        if name == "data":
            return {"data:asBase64": base64.b64encode(data).decode(), "isEncodingProblem": True}
        return {"data:asText": None, "isEncodingProblem": True}
