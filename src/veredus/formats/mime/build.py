"""Building a message from an Email object submitted for creation (RFC 8621 §4.6).

Every constraint of §4.6 is checked here, and all that is wrong is reported at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from veredus.formats.mime import parameters
from veredus.formats.mime.build_content import Entity, leaf, multipart
from veredus.formats.mime.build_headers import (
    field,
    folded,
    list_of,
    one_line,
    string,
    with_parameters,
)
from veredus.formats.mime.email import CONVENIENCE
from veredus.formats.mime.header import HeaderProperty, parse_header_property

_MAX_DEPTH: Final = 50
_LISTS: Final = ("textBody", "htmlBody", "attachments")
_EMAIL: Final = frozenset({*CONVENIENCE, *_LISTS, "bodyStructure", "bodyValues"})
_PART: Final = frozenset(
    "partId blobId size name type charset disposition cid language location subParts".split()
)
# Part property -> the header field that it stands for (§4.1.4); name goes where it fits.
_CONTENT: Final = {
    "type": "content-type",
    "charset": "content-type",
    "disposition": "content-disposition",
    "cid": "content-id",
    "language": "content-language",
    "location": "content-location",
}
_FIRST: Final = ("message-id", "date", "from", "sender", "reply-to", "to", "cc", "bcc", "subject")
_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)
_BINARY: Final = "application/octet-stream"
_TOKEN = re.compile(r"[\w!#$%&'*+.^`{|}~-]+", re.ASCII)


class BuildError(Exception):
    """The Email is not one that §4.6 allows; ``properties`` are the paths of what is wrong with it."""

    def __init__(self, properties: list[str], description: str) -> None:
        super().__init__(description)
        self.properties = properties
        self.description = description


def build(email: Mapping[str, Any], *, load_blob: Mapping[str, bytes], message_id: str, date: str) -> bytes:
    """The message that ``email`` describes; BuildError if §4.6 does not allow it.

    ``email`` comes without mailboxIds, keywords and receivedAt; ``load_blob`` has the blobs of blob_ids.
    ``message_id``, without angle brackets, and ``date``, a JMAP Date, serve an Email that has none.
    """
    builder = _Builder(email, load_blob, message_id)
    message = builder.message(date)
    if builder.problems:
        found = builder.problems
        raise BuildError(list(found), "; ".join(f"{path}: {problem}" for path, problem in found.items()))
    return message


def blob_ids(email: Mapping[str, Any]) -> set[str]:
    """The blobIds to which parts of ``email`` refer; it need not be valid."""
    found: set[str] = set()
    parts = [email.get("bodyStructure"), *(part for name in _LISTS for part in _array(email.get(name)))]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            if isinstance(part.get("blobId"), str):
                found.add(part["blobId"])
            parts += _array(part.get("subParts"))
    return found


def _array(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


class _Builder:
    """One Email on its way to a message. ``problems``: path of a property -> what is wrong with it."""

    def __init__(self, email: Mapping[str, Any], blobs: Mapping[str, bytes], message_id: str) -> None:
        self.email = {name: value for name, value in email.items() if value is not None}
        self.blobs = blobs
        self.message_id = message_id
        self.problems: dict[str, str] = {}
        self.values = self._body_values()

    @contextmanager
    def _at(self, path: str) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            self.problems.setdefault(path, str(error))

    def message(self, date: str) -> bytes:
        for name in self.email:
            if name not in _EMAIL and not name.startswith("header:"):
                self.problems[name] = "is not a property that may be set on an Email"
        fields = self._header_fields(self.email, "")
        if "bodyStructure" in self.email:
            for name in _LISTS:
                if name in self.email:
                    self.problems[name] = "must not be given together with bodyStructure"
            root = self._part(self.email["bodyStructure"], "bodyStructure")
            for prop in self.email["bodyStructure"] if root.fields else ():
                if any(_has_field({prop: 1}, name) for name in fields):
                    self.problems[f"bodyStructure/{prop}"] = "gives a header field that the Email gives"
        else:
            root = self._from_lists()
        fields.setdefault("message-id", field("Message-ID", "asMessageIds", [self.message_id]))
        fields.setdefault("date", field("Date", "asDate", date))
        first: dict[str, bytes] = {name: fields[name] for name in _FIRST if name in fields}
        mime = {"mime-version": fields.pop("mime-version", b"MIME-Version: 1.0\r\n")}
        return root._replace(fields={**first, **fields, **mime, **root.fields}).octets()

    def _body_values(self) -> dict[str, str]:
        values: dict[str, str] = {}
        given = self.email.get("bodyValues", {})
        if not isinstance(given, dict):
            self.problems["bodyValues"] = "must be an object"
            return values
        for part_id, body in given.items():
            with self._at(f"bodyValues/{part_id}"):
                if not isinstance(body, dict) or not body.keys() <= {
                    "value",
                    "isEncodingProblem",
                    "isTruncated",
                }:
                    raise ValueError("must be an EmailBodyValue")
                if body.get("isEncodingProblem") not in (None, False) or body.get("isTruncated") not in (
                    None,
                    False,
                ):
                    raise ValueError("isEncodingProblem and isTruncated must be false")
                values[part_id] = string(body.get("value"))
                values[part_id].encode()  # ValueError for a lone surrogate
            values.setdefault(part_id, "")
        return values

    # Header fields

    def _header_fields(self, given: Mapping[str, Any], path: str) -> dict[str, bytes]:
        """The fields that properties of an Email (path "") or a part give, by lower-case name."""
        fields: dict[str, bytes] = {}
        for prop, value in given.items():
            with self._at(f"{path}{prop}"):
                header = _header_property(prop, is_part=bool(path))
                if header is None or value is None:
                    continue
                name = header.name.lower()
                if name == "content-transfer-encoding" or (not path and name.startswith("content-")):
                    raise ValueError("must not be given here")
                if name in fields:
                    raise ValueError(f"gives the header field {header.name} a second time")
                fields[name] = b""
                values = list_of(_anything, value) if header.all else [value]
                fields[name] = b"".join(field(header.name, header.form, item) for item in values)
        return {name: octets for name, octets in fields.items() if octets}

    # Body parts

    def _part(self, part: Any, path: str, *, default: Mapping[str, Any] = {}, depth: int = 0) -> Entity:
        """The part at ``path``; ``default`` has properties for what the client left out."""
        if not isinstance(part, dict):
            self.problems[path] = "must be an EmailBodyPart"
            return Entity({}, b"")
        part = {**default, **{name: value for name, value in part.items() if value is not None}}
        for name in part:
            if name not in _PART and not name.startswith("header:"):
                self.problems[f"{path}/{name}"] = "is not a property that may be set on an EmailBodyPart"
        fields = self._header_fields(part, f"{path}/")
        for name, header in _CONTENT.items():
            if name in part and header in fields:
                self.problems[f"{path}/{name}"] = f"and header:{header} must not be given together"
        type_, parameters = self._content_type(part, path, fields)
        if type_.startswith("multipart/") or "subParts" in part:
            entity = self._multipart_of(part, path, type_, parameters, depth)
        else:
            entity = self._leaf(part, path, type_, parameters)
        return entity._replace(fields={**fields, **entity.fields, **self._content_fields(part, path, fields)})

    def _content_type(
        self, part: dict[str, Any], path: str, fields: dict[str, bytes]
    ) -> tuple[str, dict[str, str]]:
        """The media type and the parameters given; takes header:Content-Type out of ``fields``."""
        if written := fields.pop("content-type", b""):
            value = written.decode().partition(":")[2]
            type_, given = parameters.parse(value.replace("\r\n", ""))
            path, found = f"{path}/header:Content-Type", dict(given)
        else:
            default = (
                "multipart/mixed" if "subParts" in part else "text/plain" if "partId" in part else _BINARY
            )
            type_, found, path = part.get("type", default), {}, f"{path}/type"
        checked = _BINARY
        with self._at(path):
            checked = _media_type(type_)
        return checked, found

    def _content_fields(
        self, part: dict[str, Any], path: str, given: Mapping[str, bytes]
    ) -> dict[str, bytes]:
        """Content-Disposition, -ID, -Language and -Location of the properties that stand for them."""
        fields: dict[str, bytes] = {}
        with self._at(f"{path}/disposition"):
            if "disposition" in part:
                disposition = _token(part["disposition"])
                named = {"filename": one_line(part["name"])} if _is_line(part.get("name")) else {}
                fields["content-disposition"] = folded(
                    "Content-Disposition", with_parameters(disposition, named)
                )
        with self._at(f"{path}/name"):
            if "name" in part:
                one_line(part["name"]).encode()
                if "content-disposition" in given:
                    raise ValueError("and header:content-disposition must not be given together")
        with self._at(f"{path}/cid"):
            if "cid" in part:
                fields["content-id"] = field("Content-ID", "asMessageIds", [part["cid"]])
        with self._at(f"{path}/language"):
            if "language" in part:
                tags = ", ".join(list_of(_token, part["language"]))
                fields["content-language"] = field("Content-Language", "asRaw", f" {tags}")
        with self._at(f"{path}/location"):
            if "location" in part:
                fields["content-location"] = field("Content-Location", "asRaw", f" {_uri(part['location'])}")
        return fields

    def _leaf(self, part: dict[str, Any], path: str, type_: str, parameters: dict[str, str]) -> Entity:
        is_text = type_.startswith("text/")
        if "partId" in part:
            data = self._value(part, path)
            parameters["charset"] = "us-ascii" if data.isascii() else "utf-8"
        else:
            data = self._blob(part, path)
            with self._at(f"{path}/charset"):
                if "charset" in part:
                    parameters["charset"] = _token(part["charset"])
                elif is_text and "charset" not in parameters and not data.isascii() and _is_utf_8(data):
                    parameters["charset"] = "utf-8"
        if "disposition" not in part and _is_line(part.get("name")):
            # A Content-Disposition for the name alone would be a disposition that the client did not ask for.
            parameters["name"] = part["name"]
        return leaf(type_, parameters, data)

    def _value(self, part: dict[str, Any], path: str) -> bytes:
        """The content of a part with a partId."""
        for name in ("blobId", "charset", "size"):
            if name in part:
                self.problems[f"{path}/{name}"] = "must not be given together with partId"
        part_id = part["partId"]
        if not isinstance(part_id, str) or part_id not in self.values:
            self.problems[f"{path}/partId"] = "must be in bodyValues"
            return b""
        return self.values[part_id].replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "replace")

    def _blob(self, part: dict[str, Any], path: str) -> bytes:
        blob_id = part.get("blobId")
        if blob_id is None:
            self.problems[path] = "must have a partId or a blobId"
        elif not isinstance(blob_id, str) or blob_id not in self.blobs:
            self.problems[f"{path}/blobId"] = "must be the id of a blob"
        else:
            return self.blobs[blob_id]
        return b""

    # Multiparts

    def _multipart_of(
        self, part: dict[str, Any], path: str, type_: str, parameters: dict[str, str], depth: int
    ) -> Entity:
        for name in ("partId", "blobId", "charset", "name"):
            if name in part:
                self.problems[f"{path}/{name}"] = "must not be given for a multipart"
        if not type_.startswith("multipart/"):
            self.problems[f"{path}/type"] = "must be multipart/* for a part with subParts"
        sub_parts = part.get("subParts")
        if not isinstance(sub_parts, list) or not sub_parts or depth >= _MAX_DEPTH:
            self.problems[f"{path}/subParts"] = f"must be a list of parts, at most {_MAX_DEPTH} levels deep"
            return Entity({}, b"")
        entities = [
            self._part(sub_part, f"{path}/subParts/{i}", depth=depth + 1)
            for i, sub_part in enumerate(sub_parts)
        ]
        entity = Entity({}, b"")
        with self._at(f"{path}/header:Content-Type"):
            entity = multipart(type_, entities, parameters, f"{self.message_id} {path}")
        return entity

    def _from_lists(self) -> Entity:
        """The three lists as a tree: mixed(alternative(text, related(html, inline)), attachments)."""
        text = self._body("textBody", "text/plain")
        html = self._body("htmlBody", "text/html")
        inline, attached = self._attachments(has_html=html is not None)
        if html and inline:
            html = self._compose("multipart/related", [html, *inline], type="text/html")
        body = self._compose("multipart/alternative", [text, html]) if text and html else text or html
        if attached:
            return self._compose("multipart/mixed", [body, *attached] if body else attached)
        return body or leaf("text/plain", {}, b"")

    def _compose(self, type_: str, parts: list[Entity], **parameters: str) -> Entity:
        return multipart(type_, parts, parameters, f"{self.message_id} {type_}")

    def _body(self, name: str, type_: str) -> Entity | None:
        if name not in self.email:
            return None
        parts = self.email[name]
        if not isinstance(parts, list) or len(parts) != 1:
            self.problems[name] = "must be a list of exactly one part"
            return None
        default = {} if _has_field(parts[0], "content-type") else {"type": type_}
        entity = self._part(parts[0], f"{name}/0", default=default)
        if entity.fields and entity.type != type_.encode():
            self.problems[f"{name}/0/type"] = f"must be {type_}"
        return entity

    def _attachments(self, *, has_html: bool) -> tuple[list[Entity], list[Entity]]:
        """The parts that the HTML shows, those with a cid; and the others."""
        inline: list[Entity] = []
        attached: list[Entity] = []
        parts = self.email.get("attachments", [])
        if not isinstance(parts, list):
            self.problems["attachments"] = "must be a list of parts"
            parts = []
        for i, part in enumerate(parts):
            given = part if isinstance(part, dict) else {}
            shown = has_html and given.get("cid") is not None and given.get("disposition") in (None, "inline")
            default = (
                {}
                if _has_field(part, "content-disposition")
                else {"disposition": "inline" if shown else "attachment"}
            )
            (inline if shown else attached).append(self._part(part, f"attachments/{i}", default=default))
        return inline, attached


# Values


def _header_property(prop: str, *, is_part: bool) -> HeaderProperty | None:
    if prop in CONVENIENCE and not is_part:
        name, form = CONVENIENCE[prop]
        return HeaderProperty({"message-id": "Message-ID"}.get(name, name.title()), form, False)
    return parse_header_property(prop)


def _has_field(part: Any, name: str) -> bool:
    """True if a header:* property of ``part`` gives the header field ``name`` (lower case)."""
    return isinstance(part, dict) and any(f"{prop}:".lower().startswith(f"header:{name}:") for prop in part)


def _anything(value: Any) -> Any:
    return value


def _media_type(value: Any) -> str:
    if not _TYPE.fullmatch(string(value)):
        raise ValueError("must be a media type")
    return string(value).lower()


def _token(value: Any) -> str:
    if not _TOKEN.fullmatch(string(value)):
        raise ValueError("must be a token")
    return string(value)


def _uri(value: Any) -> str:
    if not string(value) or re.search(r"\s", one_line(value)):
        raise ValueError("must be a URI")
    return string(value)


def _is_line(value: Any) -> bool:
    try:
        one_line(value).encode()
    except ValueError:
        return False
    return True


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
