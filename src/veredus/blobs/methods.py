"""Blob/upload, Blob/get and Blob/lookup (RFC 9404)."""

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

from veredus.conditions import Eq
from veredus.schema import Access, Method
from veredus.wire import blob_ids
from veredus.wire.arguments import AccountArguments
from veredus.wire.errors import MethodError, SetError
from veredus.wire.types import BlobId, JsonObject, UnsignedInt

CAPABILITY = "urn:ietf:params:jmap:blob"

# §2: of an account; maxSizeBlobSet in octets.
MAX_SIZE = 50 * 1024 * 1024
MAX_SOURCES = 100
DIGESTS: dict[str, Callable[[bytes], Any]] = {
    "sha": hashlib.sha1,
    "sha-256": hashlib.sha256,
    "sha-512": hashlib.sha512,
}
TYPE_NAMES = ("Email", "Mailbox", "Thread")


def account_capability() -> JsonObject:
    """``urn:ietf:params:jmap:blob`` of an account (§2)."""
    return {
        "maxSizeBlobSet": MAX_SIZE,
        "maxDataSources": MAX_SOURCES,
        "supportedTypeNames": list(TYPE_NAMES),
        "supportedDigestAlgorithms": list(DIGESTS),
    }


class DataSource(Struct, forbid_unknown_fields=True):
    """Where bytes come from: exactly one of text, base64 and a (range of a) blob (§4.1)."""

    as_text: str | None = field(name="data:asText", default=None)
    as_base64: str | None = field(name="data:asBase64", default=None)
    blob_id: str | None = field(name="blobId", default=None)
    offset: UnsignedInt | None = None
    length: UnsignedInt | None = None


class UploadObject(Struct, forbid_unknown_fields=True):
    """A blob to be made (§4.1)."""

    data: list[DataSource]
    type: str | None = None


class UploadArguments(AccountArguments, kw_only=True):
    """Blob/upload (§4.1)."""

    create: dict[str, UploadObject]


async def upload(ctx: Access, args: UploadArguments) -> JsonObject:
    """Make blobs of text, base64 and parts of other blobs, those of the same request among them."""
    if len(args.create) > ctx.limit("maxObjectsInSet"):
        raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInSet')} blobs in one call.")
    created: dict[str, JsonObject] = {}
    not_created: dict[str, JsonObject] = {}
    for key, wanted in args.create.items():
        try:
            data = await _assembled(ctx, wanted)
        except SetError as error:
            not_created[key] = error.to_json()
            continue
        type = wanted.type or "application/octet-stream"
        blob = await ctx.upload_blob(data, type)
        ctx.created_ids[key] = blob.id
        created[key] = {"id": blob.id, "type": type, "size": blob.size}
    return {"accountId": args.account_id, "created": created or None, "notCreated": not_created or None}


async def _assembled(ctx: Access, wanted: UploadObject) -> bytes:
    if len(wanted.data) > MAX_SOURCES:
        raise SetError.invalid_properties(["data"], f"At most {MAX_SOURCES} data sources.")
    pieces: list[bytes] = []
    size = 0
    for source in wanted.data:
        pieces.append(await _bytes_of(ctx, source))
        size += len(pieces[-1])
        if size > MAX_SIZE:
            raise SetError.too_large(f"At most {MAX_SIZE} octets.")
    return b"".join(pieces)


async def _bytes_of(ctx: Access, source: DataSource) -> bytes:
    given = [value for value in (source.as_text, source.as_base64, source.blob_id) if value is not None]
    if len(given) != 1:
        raise SetError.invalid_properties(["data"], "A data source is one of data:asText, data:asBase64 and blobId.")
    if source.blob_id is None and (source.offset is not None or source.length is not None):
        raise SetError.invalid_properties(["data"], "Only a blobId has an offset and a length.")
    if source.as_text is not None:
        return source.as_text.encode()
    if source.as_base64 is not None:
        try:
            return base64.b64decode(source.as_base64, validate=True)
        except binascii.Error:
            raise SetError.invalid_properties(["data"], "Not base64.") from None
    id = resolved(ctx, source.blob_id or "")
    data = await ctx.load_blob(id)
    if data is None:
        raise SetError("blobNotFound", notFound=[source.blob_id])
    start = source.offset or 0
    end = len(data) if source.length is None else start + source.length
    if start > len(data) or end > len(data):
        raise SetError.invalid_properties(["data"], "The range reaches beyond the blob.")
    return data[start:end]


def resolved(ctx: Access, id: str) -> BlobId:
    """A blobId that may be "#" and a creation id of the request."""
    return ctx.created_ids.get(id[1:], id) if id.startswith("#") else id


class GetBlobArguments(AccountArguments, kw_only=True):
    """Blob/get (§4.2)."""

    ids: list[str]
    properties: list[str] | None = None
    offset: UnsignedInt = 0
    length: UnsignedInt | None = None


_DATA = ("data", "data:asText", "data:asBase64")


async def get(ctx: Access, args: GetBlobArguments) -> JsonObject:
    """The bytes, sizes and digests of blobs."""
    if len(args.ids) > ctx.limit("maxObjectsInGet"):
        raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInGet')} blobs in one call.")
    names = ["data", "size"] if args.properties is None else list(dict.fromkeys(args.properties))
    for name in names:
        known = name in ("id", "size", *_DATA) or (name.startswith("digest:") and name[7:] in DIGESTS)
        if not known:
            raise MethodError.invalid_arguments(f"A blob has no property {name[:100]!r}.")
    found, missing = [], []
    for id in dict.fromkeys(args.ids):
        data = await ctx.load_blob(resolved(ctx, id))
        if data is None:
            missing.append(id)
        else:
            found.append({"id": id, **_shown(data, names, args.offset, args.length)})
    return {"accountId": args.account_id, "list": found, "notFound": missing}


def _shown(data: bytes, names: list[str], offset: int, length: int | None) -> JsonObject:
    """Properties of a blob; the range applies to data and digests, not to the size (§4.2)."""
    end = len(data) if length is None else offset + length
    part = data[offset:end]
    shown: JsonObject = {}
    if offset > len(data) or end > len(data):
        shown["isTruncated"] = True
    for name in names:
        if name == "size":
            shown["size"] = len(data)
        elif name.startswith("digest:"):
            shown[name] = base64.b64encode(DIGESTS[name[7:]](part).digest()).decode()
        elif name in _DATA:
            shown.update(_content(part, name))
    return shown


def _content(part: bytes, name: str) -> JsonObject:
    if name == "data:asBase64":
        return {name: base64.b64encode(part).decode()}
    try:
        return {"data:asText": part.decode("utf-8")}
    except UnicodeDecodeError:
        encoded = {"data:asBase64": base64.b64encode(part).decode()} if name == "data" else {"data:asText": None}
        return {**encoded, "isEncodingProblem": True}


class LookupArguments(AccountArguments, kw_only=True):
    """Blob/lookup (§4.3)."""

    type_names: list[str]
    ids: list[str]


async def lookup(ctx: Access, args: LookupArguments) -> JsonObject:
    """Which records refer to blobs."""
    if len(args.ids) > ctx.limit("maxObjectsInGet"):
        raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInGet')} blobs in one call.")
    for name in args.type_names:
        if name not in TYPE_NAMES or ctx.data_type(name) is None:
            raise MethodError("unknownDataType", f"No data type {name[:100]!r} under the capabilities in use.")
    found, missing = [], []
    for id in dict.fromkeys(args.ids):
        if not await ctx.blob_exists(resolved(ctx, id)):
            missing.append(id)
        else:
            found.append({"id": id, "matchedIds": await _matches(ctx, resolved(ctx, id), args.type_names)})
    return {"accountId": args.account_id, "list": found, "notFound": missing}


async def _matches(ctx: Access, id: BlobId, type_names: list[str]) -> dict[str, list[str]]:
    matched: dict[str, list[str]] = dict.fromkeys(type_names, [])
    async with ctx.read() as snapshot:
        emails = await snapshot.get("Email", await snapshot.select("Email", Eq("blobId", blob_ids.parse(id).whole)))
        if "Email" in matched:
            matched["Email"] = [email["id"] for email in emails]
        if "Thread" in matched:
            matched["Thread"] = sorted({email["threadId"] for email in emails})
        if "Mailbox" in matched:
            matched["Mailbox"] = sorted({mailbox for email in emails for mailbox in email["mailboxIds"]})
    return matched


def blob_methods() -> tuple[Method, ...]:
    """The three methods of §4."""
    return (
        Method("Blob/upload", UploadArguments, upload, writes=True),
        Method("Blob/get", GetBlobArguments, get),
        Method("Blob/lookup", LookupArguments, lookup),
    )
