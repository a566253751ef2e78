"""Email/parse (RFC 8621 §4.9)."""

from collections.abc import Callable
from typing import Any

from msgspec import field

from veredus.formats.mime import message as messages
from veredus.mail.email.body import LISTS, BodyView, LoadPart, header_values
from veredus.mail.email.describe import describe
from veredus.schema import Access, Method
from veredus.wire import blob_ids
from veredus.wire.arguments import AccountArguments
from veredus.wire.errors import MethodError
from veredus.wire.types import BlobId, JsonObject, UnsignedInt

DEFAULTS = (
    "messageId inReplyTo references sender from to cc bcc replyTo subject sentAt hasAttachment preview "
    "bodyValues textBody htmlBody attachments"
).split()
_METADATA = ("id", "mailboxIds", "keywords", "receivedAt", "threadId")
_STORED = frozenset(DEFAULTS) - {"bodyValues", *LISTS} | {"headers", "size", "blobId"}
_BODIES = frozenset({"bodyStructure", "bodyValues", *LISTS})


class ParseArguments(AccountArguments, kw_only=True):
    """Email/parse (§4.9)."""

    blob_ids: list[str]
    properties: list[str] | None = None
    body_properties: list[str] | None = None
    fetch_text_body_values: bool = False
    fetch_html_body_values: bool = field(name="fetchHTMLBodyValues", default=False)
    fetch_all_body_values: bool = False
    max_body_value_bytes: UnsignedInt = 0


class ParseMethod:
    """Email/parse."""

    def __init__(self, reader: Callable[[Access], LoadPart]) -> None:
        self._reader = reader

    def method(self) -> Method:
        return Method("Email/parse", ParseArguments, self.run)

    async def run(self, ctx: Access, args: ParseArguments) -> JsonObject:
        """Show blobs as Emails without importing them."""
        if len(args.blob_ids) > ctx.limit("maxObjectsInGet"):
            raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInGet')} blobs in one call.")
        names = list(dict.fromkeys(args.properties if args.properties is not None else DEFAULTS))
        parsed: dict[BlobId, JsonObject] = {}
        not_parsable, not_found = [], []
        try:
            view = BodyView.of(args, self._reader(ctx))
            header_values({"headers": []}, [name for name in names if _is_header(name)])
        except ValueError as error:
            raise MethodError.invalid_arguments(str(error)) from None
        for id in dict.fromkeys(args.blob_ids):
            data = await ctx.load_blob(id)
            if data is None:
                not_found.append(id)
            elif not messages.is_message(data):
                not_parsable.append(id)
            else:
                parsed[id] = await _parse(ctx, view, id, data, names)
        return {
            "accountId": args.account_id,
            "parsed": parsed or None,
            "notParsable": not_parsable or None,
            "notFound": not_found or None,
        }


def _is_header(name: str) -> bool:
    return name not in _STORED and name not in _BODIES and name not in _METADATA


async def _parse(ctx: Access, view: BodyView, id: BlobId, data: bytes, names: list[str]) -> JsonObject:
    part = blob_ids.parse(id)
    source, offset = id, part.start
    if part.encoding in ("base64", "quoted-printable", "x-uuencode"):
        # Parts of it cannot be named by a place in the outer message.
        source, offset = (await ctx.upload_blob(data, "message/rfc822")).id, 0
    email: dict[str, Any] = describe(messages.parse(data), source, offset=offset)
    email["blobId"] = id
    shown = {
        name: email[name] if name in _STORED else None
        for name in names
        if name in _STORED or name in _METADATA
    }
    shown.update(await view.properties(email, [name for name in names if name in _BODIES]))
    shown.update(header_values(email, [name for name in names if _is_header(name)]))
    return shown
