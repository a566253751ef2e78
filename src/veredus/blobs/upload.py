"""Blob/upload (RFC 9404 §4.1): blobs made of text, base64 and parts of other blobs."""

import base64
import binascii
from collections.abc import AsyncIterator, Mapping

import msgspec
from msgspec import Struct, field

from veredus.schema import Access, BlobId, BlobReader, Id, JsonObject, MethodError, SetError, UnsignedInt
from veredus.wire.arguments import AccountArguments
from veredus.wire.topological import ordered

# §3.1: at least 64.
MAX_SOURCES = 100


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

    create: dict[Id, JsonObject]


class _Piece(Struct):
    """A checked source: ``data``, or the bytes ``[start, end)`` of ``blob``."""

    data: bytes = b""
    blob: BlobReader | None = None
    start: int = 0
    end: int = 0

    @property
    def size(self) -> int:
        return len(self.data) or self.end - self.start


async def upload(ctx: Access, args: UploadArguments) -> JsonObject:
    """Make blobs; those of the same request, and of the same call in any order, may be sources."""
    if len(args.create) > ctx.limit("maxObjectsInSet"):
        raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInSet')} blobs in one call.")
    created: dict[Id, JsonObject] = {}
    failed: dict[Id, JsonObject] = {}
    wanted: dict[Id, UploadObject] = {}
    for key, given in args.create.items():
        try:
            wanted[key] = _checked(given)
        except SetError as error:
            failed[key] = error.to_json()
    for key in _ordered(wanted):
        try:
            created[key] = await _make(ctx, wanted[key])
        except SetError as error:
            failed[key] = error.to_json()
        except MethodError as error:  # the budget of the request; blobs made before it stay
            failed[key] = SetError.too_large(error.description).to_json()
        else:
            ctx.created_ids[key] = created[key]["id"]
    return {"accountId": args.account_id, "created": created or None, "notCreated": failed or None}


def _checked(given: JsonObject) -> UploadObject:
    try:
        wanted = msgspec.convert(given, UploadObject)
    except msgspec.ValidationError as error:
        name = "type" if "$.type" in str(error) else "data"
        raise SetError.invalid_properties([name], str(error)) from None
    if len(wanted.data) > MAX_SOURCES:
        raise SetError.invalid_properties(["data"], f"At most {MAX_SOURCES} data sources.")
    for source in wanted.data:
        given_ones = [
            value for value in (source.as_text, source.as_base64, source.blob_id) if value is not None
        ]
        if len(given_ones) != 1:
            detail = "A data source has one of data:asText, data:asBase64 and blobId."
            raise SetError.invalid_properties(["data"], detail)
        if source.blob_id is None and (source.offset is not None or source.length is not None):
            raise SetError.invalid_properties(["data"], "Only a blobId has an offset and a length.")
    return wanted


def _ordered(wanted: Mapping[Id, UploadObject]) -> list[Id]:
    """Creation ids, each after those that it takes bytes of."""
    return ordered(wanted, lambda key: [source.blob_id[1:] for source in wanted[key].data if source.blob_id])


async def _make(ctx: Access, wanted: UploadObject) -> JsonObject:
    pieces = [await _piece(ctx, source) for source in wanted.data]
    size = sum(piece.size for piece in pieces)
    most = ctx.limit("maxSizeUpload")
    if size > most:
        raise SetError.too_large(f"A blob has at most {most} octets.", maxSize=most)
    ctx.work(size)
    blob = await ctx.upload_blob(_chunks(pieces), wanted.type or "application/octet-stream")
    return {"id": blob.id, "type": wanted.type, "size": blob.size}


async def _piece(ctx: Access, source: DataSource) -> _Piece:
    """What a source stands for; nothing is guessed: a bad one refuses the blob (§4.1)."""
    if source.as_text is not None:
        return _Piece(source.as_text.encode())
    if source.as_base64 is not None:
        try:
            return _Piece(base64.b64decode(source.as_base64, validate=True))
        except (binascii.Error, ValueError):
            raise SetError.invalid_properties(["data"], "Not base64.") from None
    blob = await ctx.open_blob(resolved(ctx, source.blob_id or ""))
    if blob is None:
        raise SetError("blobNotFound", notFound=[source.blob_id])
    start = source.offset or 0
    end = blob.size if source.length is None else start + source.length
    if start > blob.size or end > blob.size:
        raise SetError.invalid_properties(["data"], "The range reaches beyond the blob.")
    return _Piece(blob=blob, start=start, end=end)


async def _chunks(pieces: list[_Piece]) -> AsyncIterator[bytes]:
    for piece in pieces:
        if piece.blob is None:
            yield piece.data
        elif piece.end > piece.start:
            async for chunk in piece.blob.open(piece.start, piece.end):
                yield chunk


def resolved(ctx: Access, id: str) -> BlobId:
    """A blobId that may be "#" and a creation id of the request."""
    return ctx.created_ids.get(id[1:], id) if id.startswith("#") else id
