"""Properties of an Email that are worked out when they are asked for (RFC 8621 §4.1.2-4.1.4, §4.2)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct, field

from veredus.formats.mime.header import Header, HeaderProperty, parse_header_property
from veredus.formats.mime.message import decode_text, truncate_text
from veredus.ports import BlobStore, Snapshot
from veredus.schema import Access, Computed
from veredus.wire.arguments import GetArguments
from veredus.wire.types import BlobId, JsonObject, UnsignedInt

# §4.2
DEFAULT_BODY_PROPERTIES = "partId blobId size name type charset disposition cid language location".split()
LISTS = ("textBody", "htmlBody", "attachments")

LoadPart = Callable[[BlobId], Awaitable[bytes | None]]


class BodyArguments(Protocol):
    """The arguments on bodies that Email/get and Email/parse share (§4.2)."""

    body_properties: list[str] | None
    fetch_text_body_values: bool
    fetch_html_body_values: bool
    fetch_all_body_values: bool
    max_body_value_bytes: int


class EmailGetArguments(GetArguments, kw_only=True):
    """Email/get (§4.2)."""

    body_properties: list[str] | None = None
    fetch_text_body_values: bool = False
    fetch_html_body_values: bool = field(name="fetchHTMLBodyValues", default=False)
    fetch_all_body_values: bool = False
    max_body_value_bytes: UnsignedInt = 0


class BodyView(Struct):
    """Makes the body properties of stored Emails as one call's arguments want them."""

    arguments: BodyArguments
    load: LoadPart
    # Parsed once for all Emails of the call: property -> how to read it from header fields.
    part_headers: dict[str, HeaderProperty] = {}
    plain: tuple[str, ...] = tuple(DEFAULT_BODY_PROPERTIES)

    @classmethod
    def of(cls, arguments: BodyArguments, load: LoadPart) -> "BodyView":
        """Raises ValueError for an unknown body property."""
        asked = arguments.body_properties
        view = cls(arguments, load, {})
        if asked is not None:
            known = {*DEFAULT_BODY_PROPERTIES, "headers", "subParts"}
            view.plain = tuple(name for name in asked if name in known)
            view.part_headers = {name: _header_property(name) for name in asked if name not in known}
        return view

    async def properties(self, email: JsonObject, names: Sequence[str]) -> dict[str, Any]:
        """The values of ``names`` for one Email with ``structure``, ``lists`` and ``headers``."""
        values: dict[str, Any] = {}
        leaves = {part["partId"]: part for part in _leaves(email["structure"])}
        for name in names:
            if name == "bodyStructure":
                values[name] = self._part(email["structure"], email, is_tree=True)
            elif name == "bodyValues":
                values[name] = await self._values(email, leaves)
            else:
                values[name] = [self._part(leaves[id], email, is_tree=False) for id in email["lists"][name]]
        return values

    def _part(self, part: JsonObject, email: JsonObject, *, is_tree: bool) -> JsonObject:
        shown = {name: part.get(name) for name in self.plain if name not in ("headers", "subParts")}
        if "headers" in self.plain or self.part_headers:
            fields = part["headers"] if "headers" in part else email["headers"]
            if "headers" in self.plain:
                shown["headers"] = fields
            if self.part_headers:
                headers = [Header(field["name"], field["value"]) for field in fields]
                shown.update({name: prop.value(headers) for name, prop in self.part_headers.items()})
        # bodyStructure is a tree whatever properties are asked for (§4.1.4).
        if "subParts" in part and (is_tree or "subParts" in self.plain):
            shown["subParts"] = [
                self._part(sub_part, email, is_tree=is_tree) for sub_part in part["subParts"]
            ]
        elif "subParts" in self.plain:
            shown["subParts"] = None
        return shown

    async def _values(self, email: JsonObject, leaves: Mapping[str, JsonObject]) -> JsonObject:
        args, lists = self.arguments, email["lists"]
        wanted: dict[str, None] = {}
        if args.fetch_text_body_values or args.fetch_all_body_values:
            wanted.update(dict.fromkeys(lists["textBody"]))
        if args.fetch_html_body_values or args.fetch_all_body_values:
            wanted.update(dict.fromkeys(lists["htmlBody"]))
        if args.fetch_all_body_values:
            wanted.update(dict.fromkeys(leaves))
        parts = [leaves[id] for id in wanted if leaves[id]["type"].startswith("text/")]
        return {part["partId"]: await self._value(part) for part in parts}

    async def _value(self, part: JsonObject) -> JsonObject:
        """An EmailBodyValue (§4.1.4)."""
        content = await self.load(part["blobId"])
        if content is None:
            return {"value": "", "isEncodingProblem": True, "isTruncated": False}
        text, problem = decode_text(content, part["charset"], part.get("encoding", "7bit"))
        truncated = False
        if self.arguments.max_body_value_bytes:
            text, truncated = truncate_text(
                text, self.arguments.max_body_value_bytes, part["type"] == "text/html"
            )
        return {"value": text, "isEncodingProblem": problem, "isTruncated": truncated}


def _leaves(part: JsonObject) -> list[JsonObject]:
    found = []
    stack = [part]
    while stack:
        part = stack.pop()
        if "subParts" in part:
            stack.extend(reversed(part["subParts"]))
        else:
            found.append(part)
    return found


def _header_property(name: str) -> HeaderProperty:
    found = parse_header_property(name)
    if found is None:
        raise ValueError(f"no property {name[:100]!r}")
    return found


def header_values(email: JsonObject, names: Sequence[str]) -> dict[str, Any]:
    """Values of ``header:...`` properties (§4.1.2). Raises ValueError for a malformed or forbidden one."""
    headers = [Header(field["name"], field["value"]) for field in email["headers"]]
    return {name: _header_property(name).value(headers) for name in names}


def computed(blobs_of: Callable[[Access], LoadPart]) -> tuple[Computed, ...]:
    """The computed properties of an Email. ``blobs_of`` gives a reader of body parts."""

    async def bodies(
        ctx: Access, snapshot: Snapshot, records: Sequence[JsonObject], names: Sequence[str], arguments: Any
    ) -> list[Mapping[str, Any]]:
        view = BodyView.of(arguments, blobs_of(ctx))
        return [await view.properties(record, names) for record in records]

    async def headers(
        ctx: Access, snapshot: Snapshot, records: Sequence[JsonObject], names: Sequence[str], arguments: Any
    ) -> list[Mapping[str, Any]]:
        for name in names:
            _header_property(name)
        return [header_values(record, names) for record in records]

    return (
        Computed(("bodyStructure", "bodyValues", *LISTS), ("structure", "lists", "headers"), bodies),
        Computed(("header:",), ("headers",), headers),
    )


def part_reader(
    blobs: BlobStore, load: Callable[[BlobStore, BlobId], Awaitable[bytes | None]]
) -> Callable[[Access], LoadPart]:
    """Reads parts of messages that the caller has already been found to own."""
    return lambda ctx: lambda id: load(blobs, id)
